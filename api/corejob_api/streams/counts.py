"""The live counts of the queue, as a stream (`GET /event`)."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from corejob import timestamps
from corejob.state_counts import StateCounts
from corejob_api.query.ordering import Row
from corejob_api.streams import frames
from corejob_api.streams.frames import Event
from corejob_api.streams.stream import Receive, Stream, Streams
from corejob_process.clock import Clock

_PAUSE_S: Final = 3.0


def counts_row(created: datetime, total: int, states: Mapping[str, int]) -> Row:
    """Return the row of the counts at a time."""
    return {"created": timestamps.iso(created), "total": total, **states}


class Summary(Stream):
    """Stream of the queue's counts: at once, then whenever they differ from the last frame's.

    Args:
        streams: The open streams.
        state_counts: The counts.
        receive: ASGI receive of the client's connection.
        now: Clock of the timestamps.
    """

    def __init__(
        self, streams: Streams, state_counts: StateCounts, receive: Receive, now: Clock
    ) -> None:
        super().__init__("the queue's counts", streams, receive)
        self._state_counts = state_counts
        self._now = now
        self._news = asyncio.Event()

    async def _make(self) -> None:
        sent: dict[str, int] | None = None
        self._state_counts.listen(self._news.set)
        try:
            while True:
                self._news.clear()
                counts = self._state_counts.by_state()
                if counts == sent:
                    await self._news.wait()
                    continue
                sent = counts
                row = counts_row(self._now(), self._state_counts.total, counts)
                await self._put([frames.frame(Event.SUMMARY, frames.encode(row))])
                self._streams.count(Event.SUMMARY, 1)
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._state_counts.unlisten(self._news.set)
