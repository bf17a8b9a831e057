"""Delay reads of a job that has just ended until its log is complete.

Operator and recorder write their parts of the status independently, and for short jobs the operator
is first by some 0.1 s. A client that polls until a job is complete and then reads its log or its
sources at once would miss the last ones.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from corejob.model import CoreJob
from corejob.state import FINAL
from corejob_api.queue.index import Queue

WAIT_S: Final = 1.0
RECENT_S: Final = 2.0


class LogBarrier:
    """Waits for the end of the logs of jobs that have just ended.

    Args:
        queue: The API's view of the queue.
        wait: Longest delay of a read, in seconds.
        recent: Seconds after a job's end during which reads are delayed.
        clock: Monotonic clock, as that of the queue, in seconds.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        wait: float = WAIT_S,
        recent: float = RECENT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._wait = wait
        self._recent = recent
        self._clock = clock

    def holds(self, job_id: str) -> bool:
        """True if a read of the job should wait."""
        entry = self._queue.get(job_id)
        if entry is None or entry.ended_at is None or not _lacks_log(entry.job):
            return False
        return self._clock() - entry.ended_at < self._recent

    async def passed(self, job_id: str) -> None:
        """Return when the job's log is complete, the job is gone, or `wait` seconds have passed."""
        changed = asyncio.Event()

        def note(_job: CoreJob) -> None:
            changed.set()

        self._queue.watch(job_id, note)
        try:
            async with asyncio.timeout(self._wait):
                while self.holds(job_id):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._queue.unwatch(job_id, note)


def _lacks_log(job: CoreJob) -> bool:
    """True if a job has ended, ran, and its log is not complete yet."""
    return job.state in FINAL and not job.log_finalised
