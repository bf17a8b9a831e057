"""The containers of a pod: their states, and if the kubelet may start them again.

Sources: core/v1 ContainerStatus; container restart rules (KEP-5307) as `ContainerShouldRestart` and
`AllContainersCouldRestart` of the kubelet (pkg/api/v1/pod/util.go) apply them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

from corejob import timestamps

EPOCH: Final = timestamps.from_epoch(0)
NODE_RESET: Final = frozenset({"ContainerStatusUnknown", "Unknown"})
"""Reasons after a restart of the kubelet or the container runtime that lost the container."""
_ORDINARY: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons of a container without a problem."""
_RESTART_ALL: Final = "RestartAllContainers"


@dataclass(frozen=True, slots=True)
class Container:
    """The state of one container.

    Attributes:
        waiting_reason: The kubelet's reason why it has not started, with `waiting_message`.
        started_at: When it started; None before, and if it could not be started.
        exit_code: None until it has ended.
        exit_reason: The kubelet's reason of its end (`OOMKilled`, `Error`, `StartError`, …).
        message: Its termination message.
        restarts: How often it was restarted.
        ran: True if it is running, or has ever run or ended.
    """

    name: str
    waiting_reason: str | None = None
    waiting_message: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    message: str | None = None
    restarts: int = 0
    ran: bool = False

    @property
    def lost(self) -> bool:
        """True if the node lost it: nobody knows how it ended."""
        return self.exit_reason in NODE_RESET


def parse_containers(
    statuses: Iterable[Mapping[str, Any]] | None, *, finished: bool
) -> dict[str, Container]:
    """Parse the container statuses of a pod; `finished` is True if the pod has ended."""
    return {status["name"]: _container(status, finished=finished) for status in statuses or ()}


def _container(status: Mapping[str, Any], *, finished: bool) -> Container:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or {}
    last = (status.get("lastState") or {}).get("terminated") or {}
    restarts = int(status.get("restartCount") or 0)
    began = (state.get("running") or {}).get("startedAt") or ended.get("startedAt")
    if began is None and restarts:
        # The kubelet is about to restart the container: take the start of its last run.
        began = last.get("startedAt")
    started_at = timestamps.parse(began)
    if started_at is not None and started_at <= EPOCH:
        started_at = None  # the kubelet reports the epoch for a container that never started
    # After a reset of the node the kubelet first reports a container that it can't find as
    # `waiting`, with its loss only in `lastState`, and the pod as failed.
    end = last if finished and not ended and last.get("reason") in NODE_RESET else ended
    return Container(
        name=str(status.get("name")),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        started_at=started_at,
        ended_at=timestamps.parse(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=end.get("reason"),
        message=end.get("message"),
        restarts=restarts,
        # If the kubelet evicts a pod whose container is gone, it first reports `waiting`, with the
        # run only in `lastState`, and then `terminated`.
        ran=bool(started_at or ended or last),
    )


def blocking(job: Container, init: Iterable[Container], own: Iterable[Container]) -> Container:
    """Return the container that keeps the pod from starting; the job's own if none is blocked.

    While an init container waits for its image, the job's container only has `PodInitializing`; and
    another container of the pod may be unable to start.
    """
    for container in (*init, job, *own):
        if container.waiting_reason is not None and container.waiting_reason not in _ORDINARY:
            return container
    return job


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """True for a native sidecar (KEP-753), whose end does not end the job."""
    return container.get("restartPolicy") == "Always"


def may_restart(container: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """True if the kubelet may restart the container within its pod, whose `spec` is given.

    It has a restart policy or rules of its own, or a rule of any container restarts all of them.
    """
    policy = container.get("restartPolicy") in {"Always", "OnFailure"}
    return policy or bool(container.get("restartPolicyRules")) or _may_restart_all(spec)


def restarts_after(container: Mapping[str, Any], spec: Mapping[str, Any], exit_code: int) -> bool:
    """True if the kubelet may restart the container after this exit code.

    It restarts no container with policy OnFailure that has ended with 0. Otherwise a job would run
    as long as another container of its pod does.
    """
    if _may_restart_all(spec) or _has_matching_rule(container, exit_code):
        return True
    policy = container.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _may_restart_all(spec: Mapping[str, Any]) -> bool:
    """True if the end of some container may restart all containers, also those that have ended."""
    containers = chain(spec.get("initContainers") or (), spec.get("containers") or ())
    rules = chain.from_iterable(c.get("restartPolicyRules") or () for c in containers)
    return any(rule.get("action") == _RESTART_ALL for rule in rules)


def _has_matching_rule(container: Mapping[str, Any], exit_code: int) -> bool:
    """True if one of the container's rules, which all restart it, matches the exit code."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        named = exit_code in (codes.get("values") or ())
        if codes.get("operator") == ("In" if named else "NotIn"):
            return True
    return False


def memory_limit(container: Mapping[str, Any]) -> str | None:
    """Return the memory limit of a container, such as `64Mi`, or None."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if limit is None else str(limit)
