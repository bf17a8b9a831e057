"""Writing down how many jobs are in the queue, whenever that changes."""

import asyncio
import logging
from typing import Any, Final

from corejob import model
from corejob.tally import Tally
from corejob_journal.recorder.commits import Commits
from corejob_journal.store.records import AddCount
from corejob_kube import tasks
from corejob_kube.cache import ObjectCache
from corejob_kube.supervision import Supervision
from corejob_kube.timing import Clock

log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0


class Census:
    """Counts the jobs as they change, and stores at most one count a second, the latest.

    A count that is stored already, by another recorder or the one before, is not stored again.

    Args:
        jobs: The CoreJobs; nothing may be in it yet.
        commits: Takes the counts.
        now: The clock.
        pause: Least seconds between two counts.
    """

    def __init__(
        self,
        jobs: ObjectCache,
        commits: Commits,
        now: Clock,
        *,
        pause: float = _PAUSE_S,
    ) -> None:
        self._commits = commits
        self._now = now
        self._pause = pause
        self._tally = Tally()
        self._news = asyncio.Event()
        self._mine = asyncio.Event()
        self._mine.set()
        self._task: asyncio.Task[None] | None = None
        self._tally.listen(self._news.set)
        jobs.listen(self._changed)

    def start(self, supervision: Supervision | None = None) -> None:
        """Begin to store; to be called when all jobs are in, since before that it is no count."""
        self._news.set()  # an empty queue is a count too
        self._task = (supervision or Supervision()).start("census", self._run, restart=True)

    def assign(self, *, mine: bool) -> None:
        """Say whether it is this recorder that stores the counts; counting goes on in any case."""
        if mine and not self._mine.is_set():
            self._news.set()  # the one before may have missed the latest
            self._mine.set()
        elif not mine:
            self._mine.clear()

    async def stop(self) -> None:
        """Stop, and hand over the last count without a pause before it."""
        if self._task is None:
            return
        await tasks.cancel(self._task)
        if self._news.is_set() and self._mine.is_set():
            self._submit()

    def _changed(self, name: str, _old: Any, new: Any) -> None:
        if new is None:
            self._tally.drop(name)
        else:
            self._tally.put(name, model.parse(new))

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
        count = AddCount(self._now().timestamp(), self._tally.by_state())
        return self._commits.submit([count])
