"""The outcome of a trial whose container ended by itself."""

import json
from typing import Any

import pytest
from tests.unit.domain.builders import (
    at,
    ended,
    pod,
)
from tests.unit.domain.trials import DISRUPTED, KILLED, TOLD, death, told

from corejob.names import Reason
from corejob.state import State


def test_exit_code_0_is_complete() -> None:
    seen = death(pod(state=ended(0, reason="Completed"), phase="Succeeded"))

    assert (seen.outcome, seen.reason) == (State.COMPLETE, Reason.COMPLETED)
    assert seen.last_error is None
    assert (seen.started_at, seen.ended_at) == (at(-10), at(-3))
    assert (seen.node, seen.pod) == ("node-1", pod(state=ended(0)).name)


def test_a_good_end_counts_although_the_pod_was_being_evicted() -> None:
    seen = death(pod(state=ended(0), conditions=[DISRUPTED], deleting=True))

    assert seen.outcome is State.COMPLETE


@pytest.mark.parametrize(
    ("code", "state", "outcome", "reason"),
    [
        (1, "failed", State.FAILED, Reason.CODE_ERROR),
        (75, "deferred", State.DEFERRED, Reason.DEFERRED),
        (78, "error", State.ERROR, Reason.BAD_DEFINITION),
        (143, "failed", State.FAILED, Reason.CODE_ERROR),
    ],
)
def test_the_message_of_the_runtime_is_the_last_error(
    code: int, state: str, outcome: State, reason: Reason
) -> None:
    seen = death(pod(state=ended(code, message=told(state))))

    assert (seen.outcome, seen.reason) == (outcome, reason)
    assert seen.last_error == TOLD


@pytest.mark.parametrize(
    ("code", "outcome", "reason", "words"),
    [
        (3, State.FAILED, Reason.CODE_ERROR, "exit code 3"),
        (75, State.DEFERRED, Reason.DEFERRED, "exit code 75"),
        (78, State.FAILED, Reason.CODE_ERROR, "exit code 78"),
        (137, State.FAILED, Reason.CODE_ERROR, "exit code 137 (SIGKILL); its pod was not deleted"),
        (143, State.FAILED, Reason.CODE_ERROR, "(SIGTERM), although its pod was not deleted"),
    ],
)
def test_a_container_that_says_nothing_is_judged_by_its_exit_code(
    code: int, outcome: State, reason: Reason, words: str
) -> None:
    seen = death(pod(state=ended(code)))

    assert (seen.outcome, seen.reason) == (outcome, reason)
    assert seen.last_error is not None
    assert words in seen.last_error["exception"]
    assert seen.last_error["timestamp"] == "2026-11-24T11:59:57"
    assert seen.last_error["traceback"] is None


@pytest.mark.parametrize(
    "message", ["", "oops", "[1]", '"text"', "null", '{"lastError": null}', '{"lastError": []}']
)
def test_a_foreign_termination_message_is_ignored(message: str) -> None:
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error is not None
    assert "exit code 1" in seen.last_error["exception"]


def test_a_runtime_stopped_by_sigterm_without_a_deletion_of_its_pod() -> None:
    seen = death(pod(state=ended(143, message=told("killed", exception=KILLED))))

    assert (seen.outcome, seen.reason) == (State.KILLED, Reason.STOPPED)
    assert seen.message == "the job was stopped by SIGTERM, although its pod was not deleted"


@pytest.mark.parametrize("deleting", [False, True])
def test_out_of_memory(deleting: bool) -> None:
    seen = death(pod(state=ended(137, reason="OOMKilled"), deleting=deleting))

    assert (seen.outcome, seen.reason) == (State.FAILED, Reason.OUT_OF_MEMORY)
    assert seen.message is not None
    assert seen.message.startswith("OOMKilled: ")


@pytest.mark.parametrize(
    ("code", "outcome", "reason"),
    [
        (1, State.FAILED, Reason.CODE_ERROR),
        (75, State.DEFERRED, Reason.DEFERRED),
        (78, State.ERROR, Reason.BAD_DEFINITION),
    ],
)
def test_the_jobs_own_termination_message_takes_precedence(
    code: int, outcome: State, reason: Reason
) -> None:
    seen = death(pod(state=ended(code, reason="OOMKilled", message=told("failed"))))

    assert (seen.outcome, seen.reason, seen.last_error) == (outcome, reason, TOLD)
    assert seen.message is not None
    assert seen.message.startswith("ValueError('no') (another process")
    assert "OOMKilled" in seen.message


def test_a_deferral_by_exit_code_alone_takes_precedence() -> None:
    seen = death(pod(state=ended(75, reason="OOMKilled", message="no file yet")))

    assert (seen.outcome, seen.reason) == (State.DEFERRED, Reason.DEFERRED)
    assert seen.message is not None
    assert seen.message.startswith("the container ended with exit code 75: no file yet (another p")


@pytest.mark.parametrize("code", [7, 137])
def test_the_last_words_of_a_container_without_memory_are_part_of_the_error(code: int) -> None:
    seen = death(pod(state=ended(code, reason="OOMKilled", message="chunk 7 failed\n")))

    assert seen.reason is Reason.OUT_OF_MEMORY
    assert seen.last_error is not None
    assert seen.last_error["exception"] == (
        "OOMKilled: the container used more memory than its limit: chunk 7 failed"
    )


HOSTILE = ["[" * 4000, '{"lastError": ' * 2000, '{"lastError":{"exception":{"a":1}}}']


@pytest.mark.parametrize("message", HOSTILE)
def test_a_hostile_termination_message_is_data(message: str) -> None:
    assert death(pod(state=ended(1, message=message))).outcome is State.FAILED


def test_a_traceback_as_one_text_is_taken_line_by_line() -> None:
    message = json.dumps({"lastError": {"exception": "a\ud800b\0", "traceback": "one\ntwo"}})
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error == {
        "exception": "a\\ud800b\\x00",
        "timestamp": None,
        "traceback": ["one\n", "two"],
    }


@pytest.mark.parametrize("odd", [{"timestamp": {"a": 1}}, {"traceback": [1]}, {"traceback": {}}])
def test_a_field_of_the_wrong_type_is_left_out(odd: dict[str, Any]) -> None:
    message = json.dumps({"lastError": {"exception": "boom", **odd}})
    seen = death(pod(state=ended(1, message=message)))

    assert seen.last_error == {"exception": "boom", "timestamp": None, "traceback": None}
