"""The logs that may still change the cookie of a trial's class.

A job changes the cookie by lines of its log. The recorder reads these lines and writes the cookie
into the template's status. The operator may observe the end of the pod before that. So a trial of a
class with a cookie waits until the logs of all trials that ended before are stored
(`decide.start_conditions`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from corejob.model import CoreJob
from corejob_operator.caches import Caches
from corejob_operator.decide import PendingLog
from corejob_operator.settings import OperatorSettings

Ended = tuple[str, int]
"""An ended trial: the name of its CoreJob, and its number."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    """The ended trials whose logs a trial waits for.

    Attributes:
        trial: Number of the trial that waits.
        ended: Trials that had ended before it could start. It does not wait for trials that end
            later: in a busy class no trial would ever start.
    """

    trial: int
    ended: frozenset[Ended]


class Cookies:
    """Finds the logs that trials wait for, and keeps an index of the jobs that wait."""

    def __init__(self, caches: Caches, settings: OperatorSettings) -> None:
        self._caches = caches
        self._settings = settings
        self._awaited: dict[str, _Awaited] = {}
        self._waiters: dict[str, dict[int, set[str]]] = {}

    def pending_logs(self, job: CoreJob, now: datetime) -> tuple[PendingLog, ...]:
        """Return the logs that an admitted job's next trial waits for."""
        if not self._caches.has_cookie(job.qual_name):
            self.forget(job.name)
            return ()
        unfinalised = self._caches.unfinalised(job.qual_name)
        number = job.status.trial + 1
        awaited = self._awaited.get(job.name)
        ended = frozenset(unfinalised.items())
        if awaited is not None and awaited.trial == number:
            ended &= awaited.ended
        logs = (PendingLog(name, trial, self._deadline(name, now)) for name, trial in ended)
        pending = tuple(log for log in logs if log.deadline > now)
        self._awaited[job.name] = _Awaited(number, frozenset((p.corejob, p.trial) for p in pending))
        for log in pending:
            self._waiters.setdefault(log.corejob, {}).setdefault(log.trial, set()).add(job.name)
        return pending

    def freed_by(self, name: str) -> set[str]:
        """Return the names of the CoreJobs that need not wait for this changed CoreJob any more."""
        trials = self._waiters.get(name, {})
        unfinalised = self._caches.unfinalised_trial(name)
        freed = [trials.pop(trial) for trial in trials.keys() - {unfinalised}]
        if not trials:
            self._waiters.pop(name, None)
        return set().union(*freed)

    def forget(self, name: str) -> None:
        """Drop the state of a CoreJob that is gone."""
        self._awaited.pop(name, None)

    def _deadline(self, name: str, now: datetime) -> datetime:
        """Return until when to wait for the log of a CoreJob's ended trial."""
        body = self._caches.corejobs.get(name)
        ended = self._caches.parse(body).status.end_time if body is not None else None
        return (ended or now) + timedelta(seconds=self._settings.log_deadline)
