"""Delay a trial until all logs that may still change its class's cookie are stored.

A job changes the cookie by lines of its log. The recorder reads these lines and writes the cookie
into the template's status. The operator may observe the end of the pod before that. So a trial of a
class with a cookie waits until the logs of all trials that ended before are stored.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from corejob.model import CoreJob, parse
from corejob.names import Reason
from corejob_operator.caches import Caches
from corejob_operator.decide import StartCondition
from corejob_operator.settings import OperatorSettings
from corejob_operator.start_conditions import MAY_START

Ended = tuple[str, int]
"""An ended trial: the name of its CoreJob, and its number."""


@dataclass(frozen=True, slots=True)
class _Hearing:
    """The ended trials whose logs a trial waits for.

    Attributes:
        trial: Number of the trial that waits.
        of: Trials that had ended before it could start. It does not wait for trials that end later:
            in a busy class no trial would ever start.
    """

    trial: int
    of: frozenset[Ended]


class Cookies:
    """Start condition of trials whose class has a cookie, and an index of the jobs that wait."""

    def __init__(self, caches: Caches, settings: OperatorSettings) -> None:
        self._caches = caches
        self._settings = settings
        self._hearings: dict[str, _Hearing] = {}
        self._waiters: dict[str, dict[int, set[str]]] = {}

    def gate(self, job: CoreJob, now: datetime) -> StartCondition:
        """Return the start condition of an admitted job's next trial."""
        if not self._caches.has_cookie(job.qual_name):
            self.forget(job.name)
            return MAY_START
        unfinalised = self._caches.unfinalised(job.qual_name)
        number = job.status.trial + 1
        hearing = self._hearings.get(job.name)
        known = hearing.of if hearing is not None and hearing.trial == number else None
        before = frozenset(unfinalised.items()) if known is None else known & unfinalised.items()
        deadlines = {ended: self._deadline(ended[0], now) for ended in before}
        awaited = frozenset(ended for ended in before if deadlines[ended] > now)
        self._hearings[job.name] = _Hearing(number, awaited)
        if not awaited:
            return MAY_START
        for name, trial in awaited:
            self._waiters.setdefault(name, {}).setdefault(trial, set()).add(job.name)
        name, trial = min(awaited)
        text = f"the log of trial {trial} of {name} is not settled: it may change the cookie"
        return StartCondition(
            Reason.COOKIE_PENDING, text, min(deadlines[ended] for ended in awaited)
        )

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
        self._hearings.pop(name, None)

    def _deadline(self, name: str, now: datetime) -> datetime:
        """Return until when to wait for the log of a CoreJob's ended trial."""
        body = self._caches.corejobs.get(name)
        ended = parse(body).status.end_time if body is not None else None
        return (ended or now) + timedelta(seconds=self._settings.log_deadline)
