"""A trial's Job and pods as values, parsed from the JSON of the API server.

Sources: batch/v1 JobStatus, core/v1 PodStatus and ContainerStatus. The kubelet sorts
`containerStatuses` by name; `initContainerStatuses` are in the order of the spec.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from corejob import timestamps
from corejob.names import (
    ANNOTATION_CONTAINER,
    ANNOTATION_ID,
    JOB_CONTAINER,
    LABEL_COREJOB,
    LABEL_TRIAL,
)

_EPOCH: Final = timestamps.from_epoch(0)
_ORDINARY: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons of a container without a problem."""


@dataclass(frozen=True, slots=True)
class JobChild:
    """The relevant fields of a batch/v1 Job.

    Attributes:
        trial: The trial's number; 0 if its label is not a number.
        complete: True if its condition `Complete` is true. `failed`: likewise.
        reason: Reason of the condition `Failed`, or of `FailureTarget` before it; likewise
            `message`.
        resumed_at: When a suspended Job was resumed.
        job_id: Id of the CoreJob's job, since another CoreJob may have the same name later.
        owner_uid: The uid of its controller.
    """

    name: str
    corejob: str
    trial: int
    uid: str
    deleting: bool
    created: datetime
    complete: bool
    failed: bool
    reason: str | None
    message: str | None
    suspended: bool = False
    resumed_at: datetime | None = None
    job_id: str | None = None
    owner_uid: str | None = None


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


@dataclass(frozen=True, slots=True)
class PodChild:
    """The relevant fields of a pod. Fields about a container are those of the job's container.

    Attributes:
        trial: The trial's number; 0 if its label is not a number.
        deleted_at: End of its grace period, if it is being deleted.
        not_ready_since: Since when its condition `Ready` is false though its containers run: the
            node controller marks the pods of an unreachable node so.
        container: Name of the container that is the job.
        started_at: When the job's container started; None before.
        exit_code: Exit code of the job's container; None until it has ended.
        exit_reason: The kubelet's reason of its end (`OOMKilled`, `Error`, …).
        termination_message: The container's termination message.
        waiting_reason: Why the pod's containers have not started, with `waiting_message`; both are
            those of the container that blocks the pod, `waiting_container`.
        ran: True if any of its containers ever ran.
        restarts: True if the kubelet may restart the job's container within the pod.
        memory_limit: Memory limit of the job's container, such as `64Mi`.
        failed_init: The init container that failed, so that the job's container never starts.
        running_init: Name of the init container that is running.
        disruption: Reason of the `DisruptionTarget` condition, with `disruption_message`.
        disrupted_at: When that condition became true.
        job_id: Id of the CoreJob's job, since another CoreJob may have the same name later.
        owner_uid: The uid of its controller.
    """

    name: str
    corejob: str
    trial: int
    uid: str
    deleting: bool
    phase: str
    reason: str | None
    message: str | None
    node: str | None
    created: datetime
    deleted_at: datetime | None = None
    not_ready_since: datetime | None = None
    container: str = JOB_CONTAINER
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    termination_message: str | None = None
    waiting_reason: str | None = None
    waiting_message: str | None = None
    waiting_container: str | None = None
    ran: bool = False
    restarts: bool = False
    memory_limit: str | None = None
    failed_init: Container | None = None
    running_init: str | None = None
    unschedulable: str | None = None
    scheduled: bool = False
    disruption: str | None = None
    disruption_message: str | None = None
    disrupted_at: datetime | None = None
    job_id: str | None = None
    owner_uid: str | None = None

    @property
    def finished(self) -> bool:
        """True if the pod's phase is `Succeeded` or `Failed`."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def over(self) -> bool:
        """True if the job's container has ended for good.

        A container that the kubelet may restart has ended when its pod has.
        """
        return self.finished or (self.exit_code is not None and not self.restarts)


def controller(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the owner reference of an object's controller; empty if it has none."""
    owners = meta.get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def parse_job(body: Mapping[str, Any]) -> JobChild:
    """Parse the JSON of a batch/v1 Job."""
    meta = body["metadata"]
    all_conditions = _conditions(body.get("status") or {})
    conditions = {kind: c for kind, c in all_conditions.items() if c.get("status") == "True"}
    # `FailureTarget` comes first; `Failed` only once all pods have ended (KEP-3939).
    failed = conditions.get("Failed") or {}
    target = conditions.get("FailureTarget") or {}
    suspended = all_conditions.get("Suspended") or {}
    resumed = suspended.get("status") == "False"
    return JobChild(
        name=meta["name"],
        corejob=_label(meta, LABEL_COREJOB),
        trial=_trial(meta),
        uid=meta["uid"],
        deleting="deletionTimestamp" in meta,
        created=timestamps.parse(meta.get("creationTimestamp")) or _EPOCH,
        complete="Complete" in conditions,
        failed=bool(failed),
        reason=failed.get("reason") or target.get("reason"),
        message=failed.get("message") or target.get("message"),
        suspended=bool((body.get("spec") or {}).get("suspend")),
        resumed_at=timestamps.parse(suspended.get("lastTransitionTime")) if resumed else None,
        job_id=_annotation(meta, ANNOTATION_ID),
        owner_uid=_owner_uid(meta),
    )


def job_container_name(body: Mapping[str, Any]) -> str:
    """Return the name of the pod's container that is the job.

    The operator annotates it when it creates the Job. In a pod without that annotation, it is the
    container named `job`, else the first of the spec.
    """
    annotated = _annotation(body["metadata"], ANNOTATION_CONTAINER)
    containers = (body.get("spec") or {}).get("containers") or ()
    names = [str(container.get("name")) for container in containers]
    if annotated is not None and (annotated in names or not names):
        return annotated
    return choose_container(names)


def choose_container(names: Sequence[str]) -> str:
    """Return the name of the job's container: `job` if a container has it, else the first one's."""
    return JOB_CONTAINER if JOB_CONTAINER in names or not names else names[0]


def parse_pod(body: Mapping[str, Any]) -> PodChild:
    """Parse the JSON of a pod."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    name = job_container_name(body)
    own = _containers(status.get("containerStatuses"))
    init = _containers(status.get("initContainerStatuses"))
    job = own.get(name, Container(name))
    declared = _named(spec.get("containers"), name)
    sidecars = {c["name"] for c in spec.get("initContainers") or () if _is_sidecar(c)}
    waiting = _waiting(job, init.values(), own.values())
    conditions = _conditions(status)
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    if disruption.get("status") != "True":
        disruption = {}
    runs = job.started_at is not None and job.exit_code is None
    return PodChild(
        name=meta["name"],
        corejob=_label(meta, LABEL_COREJOB),
        trial=_trial(meta),
        uid=meta["uid"],
        deleting="deletionTimestamp" in meta,
        phase=status.get("phase", "Pending"),
        reason=status.get("reason"),
        message=status.get("message"),
        node=spec.get("nodeName"),
        created=timestamps.parse(meta.get("creationTimestamp")) or _EPOCH,
        deleted_at=timestamps.parse(meta.get("deletionTimestamp")),
        not_ready_since=_not_ready_since(conditions) if runs else None,
        container=name,
        started_at=job.started_at,
        ended_at=job.ended_at,
        exit_code=job.exit_code,
        exit_reason=job.exit_reason,
        termination_message=job.message,
        waiting_reason=waiting.waiting_reason,
        waiting_message=waiting.waiting_message,
        waiting_container=waiting.name,
        ran=any(container.ran for container in (*own.values(), *init.values())),
        restarts=_may_restart(declared),
        memory_limit=_memory_limit(declared),
        failed_init=next(
            (c for c in init.values() if c.exit_code not in {None, 0} and c.name not in sidecars),
            None,
        ),
        running_init=next(
            (
                c.name
                for c in init.values()
                if c.started_at is not None and c.exit_code is None and c.name not in sidecars
            ),
            None,
        ),
        unschedulable=scheduled.get("message") if scheduled.get("status") == "False" else None,
        scheduled=scheduled.get("status") == "True",
        disruption=disruption.get("reason"),
        disruption_message=disruption.get("message"),
        disrupted_at=timestamps.parse(disruption.get("lastTransitionTime")),
        job_id=_annotation(meta, ANNOTATION_ID),
        owner_uid=_owner_uid(meta),
    )


def _containers(statuses: Iterable[Mapping[str, Any]] | None) -> dict[str, Container]:
    return {status["name"]: _container(status) for status in statuses or ()}


def _container(status: Mapping[str, Any]) -> Container:
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
    if started_at is not None and started_at <= _EPOCH:
        started_at = None  # the kubelet reports the epoch for a container that never started
    return Container(
        name=str(status.get("name")),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        started_at=started_at,
        ended_at=timestamps.parse(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason"),
        message=ended.get("message"),
        restarts=restarts,
        # If the kubelet evicts a pod whose container is gone, it first reports `waiting`, with the
        # run only in `lastState`, and then `terminated`.
        ran=bool(started_at or ended or last),
    )


def _waiting(job: Container, init: Iterable[Container], own: Iterable[Container]) -> Container:
    """Return the container that keeps the pod from starting; the job's own if none is blocked.

    While an init container waits for its image, the job's container only has `PodInitializing`; and
    another container of the pod may be unable to start.
    """
    for container in (*init, job, *own):
        if container.waiting_reason is not None and container.waiting_reason not in _ORDINARY:
            return container
    return job


def _not_ready_since(conditions: Mapping[str, Mapping[str, Any]]) -> datetime | None:
    """Return since when the node controller has marked the pod as not ready, or None.

    The node controller leaves `ContainersReady` as it is; a failing readiness probe makes both
    conditions false.
    """
    ready = conditions.get("Ready") or {}
    containers = conditions.get("ContainersReady") or {}
    if ready.get("status") == "False" and containers.get("status") == "True":
        return timestamps.parse(ready.get("lastTransitionTime"))
    return None


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    """True for a native sidecar (KEP-753), whose end does not end the job."""
    return container.get("restartPolicy") == "Always"


def _may_restart(container: Mapping[str, Any]) -> bool:
    """True if the container has a restart policy or rules of its own (KEP-5307)."""
    policy = container.get("restartPolicy") in {"Always", "OnFailure"}
    return policy or bool(container.get("restartPolicyRules"))


def _memory_limit(container: Mapping[str, Any]) -> str | None:
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if limit is None else str(limit)


def _named(containers: Iterable[Mapping[str, Any]] | None, name: str) -> Mapping[str, Any]:
    return next((c for c in containers or () if c.get("name") == name), {})


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _label(meta: Mapping[str, Any], name: str) -> str:
    return str((meta.get("labels") or {}).get(name, ""))


def _trial(meta: Mapping[str, Any]) -> int:
    """Return the trial's number, or 0 if the label, which anybody can set, is not a number."""
    text = _label(meta, LABEL_TRIAL)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0


def _annotation(meta: Mapping[str, Any], name: str) -> str | None:
    value = (meta.get("annotations") or {}).get(name)
    return str(value) if value else None


def _owner_uid(meta: Mapping[str, Any]) -> str | None:
    uid = controller(meta).get("uid")
    return str(uid) if uid else None
