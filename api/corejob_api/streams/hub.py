"""Hub of the streams: one subscription to store and queue changes, fanned out to all followers."""

import asyncio
from typing import Final

from corejob_api.metrics import ApiMetrics
from corejob_api.query.log_filter import EVERYTHING, LogFilter
from corejob_api.query.log_rows import Position
from corejob_api.query.scans import Scan
from corejob_api.queue.index import Queue
from corejob_api.streams.counts import Summary
from corejob_api.streams.feed import Feed
from corejob_api.streams.follower import Follower
from corejob_api.streams.stream import Receive, Streams
from corejob_journal.store import Store
from corejob_process import tasks
from corejob_process.clock import Clock
from corejob_process.supervision import Supervision

KEEP_ALIVE_S: Final = 15.0


class Hub:
    """Opens a feed for each followed job, and closes it after its last follower."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        now: Clock,
        metrics: ApiMetrics,
        *,
        keep_alive: float = KEEP_ALIVE_S,
    ) -> None:
        self._queue = queue
        self._store = store
        self._now = now
        self._streams = Streams(metrics, keep_alive)
        self._feeds: dict[str, Feed] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, supervision: Supervision) -> None:
        """Start the subscription to the store's changes."""
        self._task = supervision.start("journal changes", self._listen, restart=True)

    def end_streams(self) -> None:
        """End all streams, so that their clients reconnect elsewhere, and admit no new ones."""
        self._streams.end()

    async def stop(self) -> None:
        """End all streams and the subscription."""
        self.end_streams()
        if self._task is not None:
            await tasks.cancel(self._task)

    def __len__(self) -> int:
        """Return the number of open streams."""
        return len(self._streams)

    @property
    def feeds(self) -> int:
        """Number of followed jobs."""
        return len(self._feeds)

    def follow(
        self,
        job_id: str,
        receive: Receive,
        scan: Scan,
        *,
        states: bool = True,
        where: LogFilter = EVERYTHING,
        ids: bool = False,
        output: bool = False,
        resume: Position | None = None,
    ) -> Follower:
        """Return a stream of a job for a client; see `Follower` for the arguments."""
        return Follower(
            self,
            self._streams,
            job_id,
            receive,
            scan,
            states=states,
            where=where,
            ids=ids,
            output=output,
            resume=resume,
        )

    def summary(self, receive: Receive) -> Summary:
        """Return a stream of the queue's counts for a client."""
        return Summary(self._streams, self._queue.state_counts, receive, self._now)

    def join(self, job_id: str, follower: Follower) -> Feed:
        """Subscribe a follower to its job's feed, opened if needed, and return the feed."""
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = self._feeds[job_id] = Feed(job_id, self._queue, self._store, self._now)
            self._store.resume_changes()
        feed.subscribers.add(follower)
        return feed

    async def leave(self, feed: Feed, follower: Follower) -> None:
        """Unsubscribe a follower; close the feed if it was the last one."""
        feed.subscribers.discard(follower)
        if not feed.subscribers and self._feeds.get(feed.job_id) is feed:
            del self._feeds[feed.job_id]
            await feed.close()

    async def _listen(self) -> None:
        async for ids in self._store.changes(lambda: tuple(self._feeds)):
            for job_id in ids or list(self._feeds):
                feed = self._feeds.get(job_id)
                if feed is not None:
                    feed.refresh()
