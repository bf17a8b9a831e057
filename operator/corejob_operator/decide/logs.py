"""The deadline for storing a trial's log, which its Job and its outcome wait for."""

from datetime import datetime, timedelta

from corejob_operator.decide.types import Situation


def log_deadline(
    situation: Situation, number: int, *, since: datetime, has_log: bool
) -> datetime | None:
    """Return until when to wait for the log of a trial; None if it is stored or does not exist.

    Args:
        situation: The situation.
        number: The trial.
        since: When the time begins.
        has_log: True if the trial's container is known to have started.
    """
    log = situation.job.log
    # `log.complete` is about the trial that `log` names: a later trial's incomplete log does not
    # tell that this trial's log is stored.
    if not has_log or (log.trial >= number and log.complete):
        return None
    return since + timedelta(seconds=situation.settings.log_deadline)
