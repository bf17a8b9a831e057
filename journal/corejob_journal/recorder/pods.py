"""What the recorder has to know of a pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corejob import names
from corejob.children import PodChild, parse_pod
from corejob_journal.store.records import Source


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of a CoreJob.

    Attributes:
        child: As the domain sees it.
        source: As the store sees it.
        container: Name of the container whose log is the job's.
        core4: Whether the core4 runtime speaks in it.
        attempts_left: Before this trial.
    """

    child: PodChild
    source: Source
    container: str
    core4: bool
    attempts_left: int

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.child.uid

    @property
    def started(self) -> bool:
        """Whether the job's container runs or ran, so that there is a log."""
        return self.child.started_at is not None or self.child.exit_code is not None

    @property
    def over(self) -> bool:
        """Whether the job's container has ended: its log grows no more."""
        return self.child.exit_code is not None or (not self.started and self.child.over)


def parse(body: Mapping[str, Any]) -> JobPod | None:
    """A pod's JSON; None if it isn't one of the operator's."""
    annotations = body["metadata"].get("annotations") or {}
    labels = body["metadata"].get("labels") or {}
    job_id = annotations.get(names.ANNOTATION_ID)
    if not job_id or not str(labels.get(names.LABEL_TRIAL, "")).isdecimal():
        return None
    child = parse_pod(body)
    left = str(annotations.get(names.ANNOTATION_ATTEMPTS_LEFT, ""))
    return JobPod(
        child=child,
        source=Source(
            job_id=job_id,
            qual_name=annotations.get(names.ANNOTATION_QUAL_NAME, ""),
            username=annotations.get(names.ANNOTATION_USER) or None,
            trial=child.trial,
            pod_uid=child.uid,
            pod=child.name,
            hostname=child.node,
        ),
        container=child.container,
        core4=annotations.get(names.ANNOTATION_RUNTIME, names.Runtime.CORE4) == names.Runtime.CORE4,
        attempts_left=int(left) if left.isdecimal() else 1,
    )
