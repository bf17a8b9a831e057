"""Trials that this operator has started, remembered until the status tells of their start.

A start that goes well is written together with what follows it (`decide.waiting`). Until then only
the operator knows that it has created the Job, and by which properties. It may forget that at any
time: after its restart the Job itself tells of the start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corejob.model import CoreJob
from corejob.names import trial_name
from corejob_operator.caches import Caches


@dataclass(frozen=True, slots=True)
class StartedTrial:
    """A trial whose Job was created.

    Attributes:
        number: The trial's number.
        properties: `spec.properties` of the template at that time.
    """

    number: int
    properties: Mapping[str, Any]


class StartedTrials:
    """The started trials by the CoreJob's name, the last one of each."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self._trials: dict[str, StartedTrial] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def created(self, job: CoreJob, number: int) -> None:
        """Note that the Job of a trial was created."""
        self._trials[job.name] = StartedTrial(number, self._current(job.qual_name) or {})

    def deleted(self, job: CoreJob, name: str) -> None:
        """Forget the trial of a Job of this name, since the operator itself has deleted it."""
        trial = self._trials.get(job.name)
        if trial is not None and trial_name(job.name, trial.number) == name:
            del self._trials[job.name]

    def number(self, job: CoreJob) -> int | None:
        """Return the trial that was started and is not in the status; None if there is none."""
        trial = self._trials.get(job.name)
        if trial is not None and trial.number <= job.status.trial:
            del self._trials[job.name]
            return None
        return trial.number if trial is not None else None

    def properties(self, name: str, qual_name: str) -> Mapping[str, Any] | None:
        """Return the template's properties for a job whose status has no copy of them yet.

        Those by which its trial was started, else the present ones; None without a template.
        """
        trial = self._trials.get(name)
        return trial.properties if trial is not None else self._current(qual_name)

    def forget(self, name: str) -> None:
        """Drop a CoreJob that is gone."""
        self._trials.pop(name, None)

    def clear(self) -> None:
        """Drop all CoreJobs."""
        self._trials.clear()

    def _current(self, qual_name: str) -> Mapping[str, Any] | None:
        template = self._caches.template(qual_name)
        return None if template is None else template.get("properties") or {}
