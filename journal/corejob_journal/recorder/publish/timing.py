"""When a change of `status.log` must be written: at once if somebody waits for it. Pure."""

from typing import Final

from corejob.model import CoreJob
from corejob.state import State

ATTACHED_S: Final = 1.0
"""Seconds until `status.log.trial` says that a log is read, unless a kill or a removal waits."""
ATTACHED_LATEST_S: Final = 30.0
"""Maximum of these seconds."""
SLOW_PAUSE_S: Final = 0.5
"""Seconds from a patch of a job to the next one, if that has progress or sources only."""
SLOW_LATEST_S: Final = 5.0
"""Maximum of these seconds: the default of `progress_interval`."""
EACH_S: Final = 0.25
"""Seconds that are added to both for each other CoreJob whose report waits.

Short jobs of a burst last longer than others, and a patch of each would slow all of them down.
"""
FINAL_STATE_S: Final = 10.0
"""Maximum seconds that a finalised log waits for the state in which the operator finds the job.

A complete job is archived then, and one patch has both `log.complete` and `journaledTime`.
"""


def is_awaited(job: CoreJob | None) -> bool:
    """True if the operator acts on `status.log` as soon as it is written: it stops the job."""
    return job is None or job.kill or job.remove


def attached_within(job: CoreJob | None, trial: int, others: int) -> float:
    """Return the seconds within which to write that a trial's log is read.

    If the log of this trial counts as complete, a second pod makes it incomplete again, at once.

    Args:
        job: The CoreJob; None if it is not in the cache.
        trial: The trial's number.
        others: Number of other CoreJobs whose report waits to be written.
    """
    if job is None or is_awaited(job) or (job.log.complete and job.log.trial >= trial):
        return 0.0
    return min(ATTACHED_S + others * EACH_S, ATTACHED_LATEST_S)


def slow_pause(others: int) -> float:
    """Return the seconds from a patch of a job to the next one with progress or sources only.

    Args:
        others: Number of other CoreJobs whose report waits to be written.
    """
    return min(SLOW_PAUSE_S + others * EACH_S, SLOW_LATEST_S)


def finalised_within(job: CoreJob | None, trial: int) -> float:
    """Return the seconds within which to write that a trial's log is finalised."""
    if job is None or (is_awaited(job) and not job.archivable):
        return 0.0
    unobserved = job.status.trial < trial or job.status.state is State.RUNNING
    return FINAL_STATE_S if unobserved or job.archivable else 0.0
