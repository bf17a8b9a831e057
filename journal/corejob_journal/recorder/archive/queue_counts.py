"""Record the number of jobs in the queue whenever it changes."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from corejob import model
from corejob.model import CoreJob
from corejob.state_counts import StateCounts
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.store.records import AddCount
from corejob_kube.cache import Body, ObjectCache
from corejob_process import tasks
from corejob_process.clock import Clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0


class QueueCounts:
    """Counts the jobs as they change, and stores the latest count, at most one a second.

    A count that another or an earlier recorder has stored already is not stored again.

    Args:
        jobs: The cache of CoreJobs, which must still be empty.
        commits: The queue of the writer.
        now: The clock.
        pause: Minimum number of seconds between two counts.
        parse: Parses a CoreJob of the cache.
    """

    def __init__(
        self,
        jobs: ObjectCache,
        commits: GroupCommit,
        now: Clock,
        *,
        pause: float = _PAUSE_S,
        parse: Callable[[Body], CoreJob] = model.parse,
    ) -> None:
        self._commits = commits
        self._now = now
        self._pause = pause
        self._parse = parse
        self._state_counts = StateCounts()
        self._news = asyncio.Event()
        self._mine = asyncio.Event()
        self._mine.set()
        self._task: asyncio.Task[None] | None = None
        self._state_counts.listen(self._news.set)
        jobs.listen(self._changed)

    def start(self, supervision: Supervision | None = None) -> None:
        """Start storing counts. Call it once the cache is synced, since earlier counts are partial.

        Args:
            supervision: Supervises the task; None creates a new one.
        """
        self._news.set()  # store the count of an empty queue too
        self._task = (supervision or Supervision()).start("queue counts", self._run, restart=True)

    def assign(self, *, mine: bool) -> None:
        """Set if this recorder stores the counts; it counts in any case."""
        if mine and not self._mine.is_set():
            self._news.set()  # the previous owner may not have stored the latest count
            self._mine.set()
        elif not mine:
            self._mine.clear()

    async def stop(self) -> None:
        """Stop, and submit the last count without the pause."""
        if self._task is None:
            return
        await tasks.cancel(self._task)
        if self._news.is_set() and self._mine.is_set():
            self._submit()

    def _changed(self, name: str, _old: Any, new: Any) -> None:
        if new is None:
            self._state_counts.drop(name)
        else:
            self._state_counts.put(name, self._parse(new))

    async def _run(self) -> None:
        while True:
            await self._mine.wait()
            await self._news.wait()
            if not self._mine.is_set():
                continue
            try:
                await self._submit()
            except Exception:
                log.exception("a count of the queue is not stored")
            await asyncio.sleep(self._pause)

    def _submit(self) -> "asyncio.Future[Any]":
        self._news.clear()
        count = AddCount(self._now().timestamp(), self._state_counts.by_state())
        return self._commits.submit([count])
