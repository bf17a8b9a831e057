"""The end of a trial whose container, or whose init container, ended by itself.

Sources: exit codes and termination messages (docs/job-protocol.md), the kubelet's reasons.
"""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from corejob import texts
from corejob.children import PodChild
from corejob.containers import Container
from corejob.ends import end, end_time, failure, last_words
from corejob.names import (
    EXIT_BAD_DEFINITION,
    EXIT_DEFERRED,
    EXIT_SIGKILL,
    EXIT_SIGTERM,
    KILLED_EXCEPTION,
    Reason,
)
from corejob.observation import Observation, error
from corejob.state import State

OOM_KILLED: Final = "OOMKilled"
"""The kubelet's reason if any process of the container ran out of memory."""
NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun"})
"""The kubelet's reasons for a container whose program could not be started."""


def init_failed(pod: PodChild, init: Container, now: datetime) -> Observation:
    """Return the end of a pod whose init container `init` failed."""
    text = f"init container [{init.name}] ended with exit code {init.exit_code}"
    if init.exit_reason not in {None, "Error"}:
        text += f" ({init.exit_reason})"
    if init.message and init.message.strip():
        text += f": {init.message.strip()}"
    failed = failure(pod, now, Reason.INIT_FAILED, text, when=init.ended_at)
    return replace(failed, exit_code=init.exit_code, ended_at=init.ended_at or failed.ended_at)


def by_exit(pod: PodChild, code: int, now: datetime) -> Observation:
    """Return the end that the exit code of the job's container and its last words tell."""
    words = last_words(pod)
    if pod.exit_reason in NOT_STARTED:
        text = words or "the container's program could not be started"
        return failure(pod, now, Reason.START_ERROR, f"{pod.exit_reason}: {text}")
    reported = reported_error(pod.termination_message)
    # A deferral is told by its exit code alone: then another process ran out of memory.
    if pod.exit_reason == OOM_KILLED and reported is None and code != EXIT_DEFERRED:
        limit = f" of {pod.memory_limit}" if pod.memory_limit else ""
        text = f"OOMKilled: the container used more memory than its limit{limit}"
        return failure(pod, now, Reason.OUT_OF_MEMORY, f"{text}: {words}" if words else text)
    if code == EXIT_SIGTERM and reported is not None and reported["exception"] == KILLED_EXCEPTION:
        text = "the job was stopped by SIGTERM, although its pod was not deleted"
        return end(pod, now, Reason.STOPPED, State.KILLED, text, reported)
    last = reported or error(texts.clean_message(_default(pod, code)), end_time(pod, now))
    text = str(last["exception"])
    if pod.exit_reason == OOM_KILLED:
        text += " (another process of the container ran out of memory and was killed: OOMKilled)"
    if code == EXIT_DEFERRED:
        return end(pod, now, Reason.DEFERRED, State.DEFERRED, text, last)
    if code == EXIT_BAD_DEFINITION and reported is not None:
        return end(pod, now, Reason.BAD_DEFINITION, State.ERROR, text, last)
    return end(pod, now, Reason.CODE_ERROR, State.FAILED, text, last)


def _default(pod: PodChild, code: int) -> str:
    """Return the message of an end without a structured termination message."""
    text, words = f"the container ended with exit code {code}", last_words(pod)
    if code == EXIT_SIGKILL:
        text += " (SIGKILL)"
        if not words:
            text += (
                "; its pod was not deleted. The cause may be memory, which a busy node does not "
                f"always report; the limit is {pod.memory_limit or 'not set'}"
            )
    elif code == EXIT_SIGTERM:
        text += " (SIGTERM), although its pod was not deleted; a failing probe may be the cause"
    return f"{text}: {words}" if words else text


def reported_error(message: str | None) -> dict[str, Any] | None:
    """Return `lastError` of the runtime's termination message; None for any other message.

    The message is untrusted, since a container wrote it: check its types and clean its texts.
    """
    try:
        last = reported(message)["lastError"]
        exception, traceback, at = last["exception"], last.get("traceback"), last.get("timestamp")
    except (KeyError, TypeError, AttributeError):
        return None
    if not isinstance(exception, str):
        return None
    if isinstance(traceback, str):
        traceback = traceback.splitlines(keepends=True)
    if not isinstance(traceback, list) or not all(isinstance(line, str) for line in traceback):
        traceback = None
    return {
        "exception": texts.clean(exception),
        "timestamp": texts.clean(at) if isinstance(at, str) else None,
        "traceback": None if traceback is None else [texts.clean(line) for line in traceback],
    }


def reported(message: str | None) -> dict[str, Any]:
    """Return a termination message's JSON object; an empty one for any other message.

    The message is untrusted, since a container wrote it.
    """
    if not message or not message.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
