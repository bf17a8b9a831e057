"""Delete past jobs that exceed the policy, oldest first, without delaying the recorder."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final, TypeVar

from corejob import timestamps
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.retention_policy import DeletionCounts, RetentionPolicy
from corejob_journal.store import Candidate, Store, StoreUnavailable, Writer
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

_EVERY_S: Final = 600.0
_PAGE: Final = 1000
_PAGES: Final = 100
"""Number of pages of a SQLite file that one transaction frees."""
_REST: Final = 2.0
"""Pause after each transaction, as a multiple of its duration: appends have priority."""


async def due(
    store: Store,
    policy: RetentionPolicy,
    now: float,
    kept: Collection[str],
    *,
    page: int = _PAGE,
) -> AsyncIterator[Candidate]:
    """Yield the past jobs to delete, oldest first, except those whose CoreJob still exists."""
    cutoff = policy.cutoff(now)
    excess = policy.excess(await store.stored_bytes()) if policy.max_bytes else 0
    last: Candidate | None = None
    while candidates := await store.oldest(last, page):
        for candidate in candidates:
            if excess <= 0 and (cutoff is None or candidate.at >= cutoff):
                return
            if candidate.job_id not in kept:
                excess -= candidate.bytes
                yield candidate
        last = candidates[-1]


async def orphans(
    store: Store,
    policy: RetentionPolicy,
    now: float,
    kept: Collection[str],
    *,
    page: int = _PAGE,
) -> AsyncIterator[str]:
    """Yield the ids of jobs that are too old and have a log but no document or CoreJob."""
    cutoff = policy.cutoff(now)
    if cutoff is None:
        return
    before = f"{max(0, int(cutoff * 65536)):012x}"  # ids begin with their creation time
    last = ""
    while job_ids := await store.orphans(last, before, page):
        for job_id in job_ids:
            if job_id not in kept:
                yield job_id
        last = job_ids[-1]


async def survey(
    store: Store, policy: RetentionPolicy, now: float, kept: Collection[str]
) -> DeletionCounts:
    """Return the counts of what would be deleted."""
    counts = DeletionCounts()
    async for candidate in due(store, policy, now, kept):
        counts.add(candidate)
    async for _ in orphans(store, policy, now, kept):
        counts.orphans += 1
    cutoff = policy.cutoff(now)
    counts.history = 0 if cutoff is None else await store.history_older(cutoff)
    return counts


class Retention:
    """Applies the retention policy every ten minutes.

    Args:
        store: The reader of the store.
        commits: The queue of the writer.
        policy: The retention policy.
        kept: Returns the ids of the jobs whose CoreJob exists.
        mine: Returns True if this recorder has the shared duties.
        metrics: The recorder's metrics.
        now: The clock.
        page: Number of jobs that one query finds.
        jobs_at_once: Number of jobs deleted in one transaction.
        rows_at_once: Number of log rows deleted in one transaction.
    """

    def __init__(
        self,
        *,
        store: Store,
        commits: GroupCommit,
        policy: RetentionPolicy,
        kept: Callable[[], Collection[str]],
        mine: Callable[[], bool],
        metrics: RecorderMetrics,
        now: Clock,
        page: int = _PAGE,
        jobs_at_once: int = 50,
        rows_at_once: int = 1000,
    ) -> None:
        self._store = store
        self._commits = commits
        self._policy = policy
        self._kept = kept
        self._mine = mine
        self._metrics = metrics
        self._now = now
        self._page = page
        self._jobs_at_once = jobs_at_once
        self._rows_at_once = rows_at_once
        self._reported: DeletionCounts | None = None

    async def run_forever(self) -> None:
        """Apply the policy every ten minutes, until cancelled."""
        while True:
            try:
                if self._mine():
                    await self.apply()
            except StoreUnavailable as error:
                log.warning("retention waits for the store: %s", error)
            except Exception:
                log.exception("retention failed")
            await asyncio.sleep(_EVERY_S)

    async def apply(self) -> DeletionCounts:
        """Delete what exceeds the policy, or log what would be deleted. Return the counts."""
        now, kept = self._now().timestamp(), frozenset(self._kept())
        self._metrics.stored_bytes.set(await self._store.stored_bytes())
        if self._policy.dry_run:
            counts = await survey(self._store, self._policy, now, kept)
            if counts != self._reported:
                self._reported = counts
                log.info("retention would delete %s", describe(counts))
            return counts
        await self._sweep()  # rows that a crash may have left
        counts = await self._take_away(now, kept)
        if not counts.is_empty:
            await self._give_back()
            self._metrics.stored_bytes.set(await self._store.stored_bytes())
            log.info("retention deleted %s", describe(counts))
        return counts

    async def _take_away(self, now: float, kept: Collection[str]) -> DeletionCounts:
        counts = DeletionCounts()
        part: list[Candidate] = []
        async for candidate in due(self._store, self._policy, now, kept, page=self._page):
            part.append(candidate)
            if len(part) == self._jobs_at_once:
                await self._drop(part, counts)
                part = []
        await self._drop(part, counts)
        lost_ids = orphans(self._store, self._policy, now, kept, page=self._page)
        lost = [job_id async for job_id in lost_ids]
        for start in range(0, len(lost), self._jobs_at_once):
            ids = self._without_corejob(lost[start : start + self._jobs_at_once])
            await self._gently(lambda writer, ids=ids: writer.drop(ids))  # type: ignore[misc]
            counts.orphans += len(ids)
            await self._sweep()
        cutoff = self._policy.cutoff(now)
        if cutoff is not None:
            counts.history = await self._drop_history(cutoff)
        return counts

    async def _drop(self, part: list[Candidate], counts: DeletionCounts) -> None:
        if not part:
            return
        ids = self._without_corejob([candidate.job_id for candidate in part])
        if not ids:
            return
        part = [candidate for candidate in part if candidate.job_id in ids]
        self._metrics.deleted_jobs.inc(await self._gently(lambda writer: writer.drop(ids)))
        for candidate in part:
            counts.add(candidate)
            self._metrics.deleted_bytes.inc(candidate.bytes)
        await self._sweep()

    def _without_corejob(self, job_ids: list[str]) -> list[str]:
        """Return the ids without a CoreJob: a job may have come and ended since the run began."""
        kept = self._kept()
        return [job_id for job_id in job_ids if job_id not in kept]

    async def _sweep(self) -> None:
        while await self._gently(lambda writer: writer.sweep(self._rows_at_once)):
            pass

    async def _drop_history(self, before: float) -> int:
        total = 0
        while count := await self._gently(
            lambda writer: writer.drop_history(before, self._rows_at_once)
        ):
            total += count
        return total

    async def _give_back(self) -> None:
        while await self._gently(lambda writer: writer.give_back(_PAGES)):
            pass

    async def _gently(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """Run one small transaction, then pause."""
        began = time.perf_counter()
        answer = await self._commits.call(work)
        await asyncio.sleep(_REST * (time.perf_counter() - began))
        return answer


def describe(counts: DeletionCounts) -> str:
    """Return the counts as part of a sentence."""
    text = f"{counts.jobs} past jobs, about {counts.bytes} bytes"
    if counts.first is not None and counts.last is not None:
        first, last = (
            timestamps.iso(timestamps.from_epoch(at)) for at in (counts.first, counts.last)
        )
        text += f", journaled from {first} to {last} UTC"
    return (
        f"{text}; {counts.orphans} logs without a job; {counts.history} rows of the queue's history"
    )
