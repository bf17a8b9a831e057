"""A trial's Job and pods as values, parsed from the JSON of the API server.

Sources: batch/v1 JobStatus, core/v1 PodStatus and ContainerStatus. The kubelet sorts
`containerStatuses` by name; `initContainerStatuses` are in the order of the spec.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from corejob import timestamps
from corejob.containers import (
    EPOCH,
    Container,
    blocking,
    is_sidecar,
    may_restart,
    memory_limit,
    parse_containers,
    restarts_after,
)
from corejob.names import (
    ANNOTATION_CONTAINER,
    ANNOTATION_ID,
    JOB_CONTAINER,
    LABEL_COREJOB,
    LABEL_TRIAL,
)

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that has ended."""


@dataclass(frozen=True, slots=True)
class JobChild:
    """The relevant fields of a batch/v1 Job.

    Attributes:
        trial: The trial's number; 0 if its label is not a number.
        complete: True if its condition `Complete` is true. `failed`: likewise.
        reason: Reason of the condition `Failed`, or of `FailureTarget` before it; likewise
            `message`.
        suspended: True if it is to be suspended (`spec.suspend`).
        suspension_in_force: True if the Job controller has suspended it, and not resumed it yet.
        resumed_at: When the Job controller resumed it.
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
    suspension_in_force: bool = False
    resumed_at: datetime | None = None
    job_id: str | None = None
    owner_uid: str | None = None


@dataclass(frozen=True, slots=True)
class PodChild:
    """The relevant fields of a pod. Fields about a container are those of the job's container.

    Attributes:
        trial: The trial's number; 0 if its label is not a number.
        deleted_at: End of its grace period, if it is being deleted.
        deletion_asked_at: When its deletion was requested.
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
        restarts_next: True if it may do so after the end that `exit_code` tells.
        memory_limit: Memory limit of the job's container, such as `64Mi`.
        failed_init: The init container that failed, so that the job's container never starts.
        lost: The container that its node lost, so that nobody knows how the trial ended: the job's
            own, or an init container before it.
        running_init: Name of the init container that is running.
        disruption: Reason of the `DisruptionTarget` condition, with `disruption_message`.
        disrupted_at: When that condition became true.
        job_id: Id of the CoreJob's job, since another CoreJob may have the same name later.
        owner_uid: The uid of its controller.
        orphaned: True if it has lost its controller, as by `kubectl delete job --cascade=orphan`.
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
    deletion_asked_at: datetime | None = None
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
    restarts_next: bool = False
    memory_limit: str | None = None
    failed_init: Container | None = None
    lost: Container | None = None
    running_init: str | None = None
    unschedulable: str | None = None
    scheduled: bool = False
    disruption: str | None = None
    disruption_message: str | None = None
    disrupted_at: datetime | None = None
    job_id: str | None = None
    owner_uid: str | None = None
    orphaned: bool = False

    @property
    def finished(self) -> bool:
        """True if the pod's phase is `Succeeded` or `Failed`."""
        return self.phase in _FINISHED

    @property
    def over(self) -> bool:
        """True if the job's container has ended for good.

        A container that the kubelet may restart has ended when its pod has.
        """
        return self.finished or (self.exit_code is not None and not self.restarts_next)


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
    # After a resume the condition stays true until the Job controller has synced the Job.
    resumed = suspended.get("status") == "False"
    return JobChild(
        name=meta["name"],
        corejob=_label(meta, LABEL_COREJOB),
        trial=_trial(meta),
        uid=meta["uid"],
        deleting="deletionTimestamp" in meta,
        created=timestamps.parse(meta.get("creationTimestamp")) or EPOCH,
        complete="Complete" in conditions,
        failed=bool(failed),
        reason=failed.get("reason") or target.get("reason"),
        message=failed.get("message") or target.get("message"),
        suspended=bool((body.get("spec") or {}).get("suspend")),
        suspension_in_force=suspended.get("status") == "True",
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
    phase = status.get("phase", "Pending")
    finished = phase in _FINISHED
    own = parse_containers(status.get("containerStatuses"), finished=finished)
    init = parse_containers(status.get("initContainerStatuses"), finished=finished)
    job = own.get(name, Container(name))
    declared = _named(spec.get("containers"), name)
    sidecars = {c["name"] for c in spec.get("initContainers") or () if is_sidecar(c)}
    before = [container for container in init.values() if container.name not in sidecars]
    waiting = blocking(job, init.values(), own.values())
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
        phase=phase,
        reason=status.get("reason"),
        message=status.get("message"),
        node=spec.get("nodeName"),
        created=timestamps.parse(meta.get("creationTimestamp")) or EPOCH,
        deleted_at=timestamps.parse(meta.get("deletionTimestamp")),
        deletion_asked_at=_deletion_asked_at(meta),
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
        restarts=may_restart(declared, spec),
        restarts_next=job.exit_code is not None and restarts_after(declared, spec, job.exit_code),
        memory_limit=memory_limit(declared),
        failed_init=next((c for c in before if c.exit_code not in {None, 0}), None),
        lost=_lost(job, before),
        running_init=next(
            (c.name for c in before if c.started_at is not None and c.exit_code is None), None
        ),
        unschedulable=scheduled.get("message") if scheduled.get("status") == "False" else None,
        scheduled=scheduled.get("status") == "True",
        disruption=disruption.get("reason"),
        disruption_message=disruption.get("message"),
        disrupted_at=timestamps.parse(disruption.get("lastTransitionTime")),
        job_id=_annotation(meta, ANNOTATION_ID),
        owner_uid=_owner_uid(meta),
    )


def with_known_owner(pod: PodChild, before: PodChild | None) -> PodChild:
    """Return the pod with the owner that its version `before` had, if it has lost that."""
    if pod.owner_uid is not None or before is None or before.uid != pod.uid:
        return pod
    known = before.owner_uid is not None
    return replace(pod, owner_uid=before.owner_uid, orphaned=True) if known else pod


def _lost(job: Container, before: Iterable[Container]) -> Container | None:
    """Return the container whose loss leaves the trial's end unknown.

    An init container matters only if the job's own container has not ended.
    """
    if job.lost:
        return job
    return next((c for c in before if c.lost), None) if job.exit_code is None else None


def _deletion_asked_at(meta: Mapping[str, Any]) -> datetime | None:
    """Return when the deletion of an object was requested, or None.

    `deletionTimestamp` is the end of the grace period.
    """
    ends_at = timestamps.parse(meta.get("deletionTimestamp"))
    if ends_at is None:
        return None
    return ends_at - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)


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
