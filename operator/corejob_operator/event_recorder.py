"""Posts the operator's Events in the background, and limits them.

They are posted after the status write, as a best effort: the status has all that matters.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from corejob import names
from corejob.names import Reason
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, UnavailableError
from corejob_kube.resources import EVENTS
from corejob_operator.event_correlator import EventCorrelator, EventSeries
from corejob_process import tasks
from corejob_process.clock import Clock, system_clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

_CAPACITY: Final = 2_500
_WORKERS: Final = 4
_RETRY_PAUSES_S: Final = (0.5, 2.0, 8.0, 30.0)
"""Seconds before each retry while the API server is away; together, the time of its restart."""
_HOLD_S: Final = 1.0
_HOLD_EACH_S: Final = 0.25
"""Seconds by which each held Event delays the next one: in a burst short jobs last longer."""
_HOLD_LATEST_S: Final = 30.0

Event = Mapping[str, Any]


class EventRecorder:
    """Posts Events in the background; logs and drops those that can't be posted.

    Those of one CoreJob are posted one after the other: a series is counted in its first Event.
    The Event of a start is held for a second, in a burst longer. If the trial ends meanwhile, the
    Event of its end replaces it.

    Args:
        kube: The client.
        capacity: Most Events that wait to be posted, in each of the queues.
        retry_pauses: Seconds before each retry while the API server is away.
        hold: Seconds for which the Event of a start is held if no other is.
        now: The clock of the limits.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        capacity: int = _CAPACITY,
        retry_pauses: Sequence[float] = _RETRY_PAUSES_S,
        hold: float = _HOLD_S,
        now: Clock = system_clock,
    ) -> None:
        self._kube = kube
        self._retry_pauses = retry_pauses
        self._hold = hold
        self._now = now
        self._correlator = EventCorrelator()
        self._held: dict[str, tuple[Event, asyncio.TimerHandle]] = {}
        self._queues: list[asyncio.Queue[Event | EventSeries]] = [
            asyncio.Queue(capacity) for _ in range(_WORKERS)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, supervision: Supervision | None = None) -> None:
        """Start posting.

        Args:
            supervision: Supervises the tasks; None: a new one.
        """
        supervision = supervision or Supervision()
        self._tasks = [
            supervision.start(f"events {number}", partial(self._run, queue), restart=True)
            for number, queue in enumerate(self._queues)
        ]

    async def stop(self, within: float) -> None:
        """Post the queued Events within `within` seconds, then stop; drop the rest."""
        for uid in tuple(self._held):
            self._release(uid)
        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*(queue.join() for queue in self._queues))
        except TimeoutError:
            log.warning("%d events were not posted", sum(queue.qsize() for queue in self._queues))
        await tasks.cancel(*self._tasks)

    def record(self, body: Event | None) -> None:
        """Queue an Event; ignore None. Drop the Event if there are too many."""
        if body is None:
            return
        uid = str(body["regarding"]["uid"])
        _, timer = self._held.pop(uid, (None, None))
        if timer is not None:
            timer.cancel()
        if body["reason"] == Reason.RUNNING:
            loop = asyncio.get_running_loop()
            hold = self._hold + min(len(self._held) * _HOLD_EACH_S, _HOLD_LATEST_S)
            self._held[uid] = body, loop.call_later(hold, self._release, uid)
        else:
            self._put(body)

    def _release(self, uid: str) -> None:
        body, timer = self._held.pop(uid)
        timer.cancel()
        self._put(body)

    def _put(self, body: Event) -> None:
        item = self._correlator.correlate(body, self._now())
        if item is None:
            return
        queue = self._queues[hash(body["regarding"]["uid"]) % _WORKERS]
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            log.warning("too many events: dropped %s of %s", body["reason"], body["regarding"])

    async def _run(self, queue: "asyncio.Queue[Event | EventSeries]") -> None:
        while True:
            item = await queue.get()
            try:
                await self._post(item)
            except KubeError as error:
                log.warning("an event was not posted: %s", error)
            finally:
                queue.task_done()

    async def _post(self, item: Event | EventSeries) -> None:
        for pause in (*self._retry_pauses, None):
            try:
                await self._send(item)
            except ConflictError:
                return  # an earlier try succeeded, but its answer was lost: names are random
            except UnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _send(self, item: Event | EventSeries) -> None:
        manager = names.MANAGER_OPERATOR
        if isinstance(item, EventSeries):
            name, namespace, patch = item
            await self._kube.patch(EVENTS, namespace, name, patch, manager=manager)
        else:
            namespace = str(item["metadata"]["namespace"])
            await self._kube.create(EVENTS, namespace, item, manager=manager)
