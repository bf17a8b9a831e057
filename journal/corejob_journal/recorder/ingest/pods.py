"""The recorder's view of a pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corejob import children, names
from corejob.children import PodChild
from corejob_journal.store.records import LogSource


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of a CoreJob.

    Attributes:
        child: The pod as the domain sees it.
        source: The pod as the store sees it.
        container: Name of the container whose log is the job's: the job's own, or the init
            container that failed before it could start.
        core4: True if the container runs the core4 runtime.
        attempts_left: Attempts left before this trial.
        restarts: Number of times that the kubelet has restarted the job's container in the pod.
        job_name: Name of the Job that controls the pod; empty if there is none.
    """

    child: PodChild
    source: LogSource
    container: str
    core4: bool
    attempts_left: int
    restarts: int = 0
    job_name: str = ""

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.child.uid

    @property
    def started(self) -> bool:
        """True if the job's container runs or ran, so that there is a log."""
        return self.child.started_at is not None or self.child.exit_code is not None

    @property
    def failed_init(self) -> bool:
        """True if an init container failed, so that only its log exists."""
        return not self.started and self.child.failed_init is not None and self.child.over

    @property
    def has_log(self) -> bool:
        """True if there is a log to read."""
        return self.started or self.failed_init

    @property
    def over(self) -> bool:
        """True if the job's container has ended for good, so that its log no longer grows."""
        return self.child.over


def parse(body: Mapping[str, Any]) -> JobPod | None:
    """Parse a pod's JSON; return None if the operator has not created the pod."""
    annotations = body["metadata"].get("annotations") or {}
    job_id = annotations.get(names.ANNOTATION_ID)
    child = children.parse_pod(body)
    if not job_id or not child.trial:
        return None
    left = str(annotations.get(names.ANNOTATION_ATTEMPTS_LEFT, ""))
    began = child.started_at is not None or child.exit_code is not None
    init = child.failed_init if child.over and not began else None
    runtime = annotations.get(names.ANNOTATION_RUNTIME, names.Runtime.CORE4)
    return JobPod(
        child=child,
        source=LogSource(
            job_id=job_id,
            qual_name=annotations.get(names.ANNOTATION_QUAL_NAME, ""),
            username=annotations.get(names.ANNOTATION_USER) or None,
            trial=child.trial,
            pod_uid=child.uid,
            pod=child.name,
            hostname=child.node,
        ),
        container=init.name if init is not None else child.container,
        core4=runtime == names.Runtime.CORE4 and init is None,
        attempts_left=int(left) if left.isdecimal() else 1,
        restarts=_restarts(body, child.container),
        job_name=_job_name(body),
    )


def _job_name(body: Mapping[str, Any]) -> str:
    owner = children.controller(body["metadata"])
    return str(owner.get("name")) if owner.get("kind") == "Job" else ""


def _restarts(body: Mapping[str, Any], container: str) -> int:
    statuses = (body.get("status") or {}).get("containerStatuses") or ()
    return max(
        (
            int(status.get("restartCount") or 0)
            for status in statuses
            if status.get("name") == container
        ),
        default=0,
    )
