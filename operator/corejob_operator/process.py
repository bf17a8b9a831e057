"""The operator without its health server: workers, resync, templates and all watches."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.informer import Informer
from corejob_kube.resources import JOBS, PODS
from corejob_kube.workqueue import WorkQueue
from corejob_operator import handlers
from corejob_operator.caches import CHILD_SELECTOR, Caches
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.fencing import Fenced
from corejob_operator.leader_election import LeaderElection
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.reconcile import Reconciler
from corejob_operator.resync import Resync
from corejob_operator.settings import OperatorSettings
from corejob_operator.templates import Templates
from corejob_process import tasks
from corejob_process.clock import Clock, system_clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

_WORKERS: Final = 16
_LIST_AGAIN_S: Final = 1.0
_POST_WITHIN_S: Final = 2.0


class Operator:
    """One namespace's operator.

    Attributes:
        caches: The objects that it acts by.
        ready: True once all objects were listed.
        last_contact: `time.monotonic()` of the last resync that the API server answered.
        supervision: Supervises its long-lived tasks.
        watches: Finds kopf's watch tasks.
    """

    def __init__(
        self,
        kube: Kube,
        settings: OperatorSettings,
        *,
        instance: str,
        now: Clock = system_clock,
        supervision: Supervision | None = None,
    ) -> None:
        self.supervision = supervision or Supervision()
        self.metrics = OperatorMetrics()
        self.ready = False
        self.last_contact = time.monotonic()
        self._settings = settings
        self._jobs = Informer(kube, JOBS, settings.namespace, selector=CHILD_SELECTOR)
        self._pods = Informer(kube, PODS, settings.namespace, selector=CHILD_SELECTOR)
        self.caches = Caches(jobs=self._jobs, pods=self._pods)
        self._queue = WorkQueue()
        self._events = EventRecorder(kube)
        self._leader_election = LeaderElection(kube, settings.namespace, instance, now)
        self.watches = handlers.WatchTasks()
        self._decoder = kube.decoder
        acting = Fenced(kube, self._leader_election.check)
        self.resync = Resync(kube, self.caches, settings.namespace, self.metrics)
        self._reconciler = Reconciler(
            kube=acting,
            caches=self.caches,
            settings=settings,
            queue=self._queue,
            event_recorder=self._events,
            metrics=self.metrics,
            instance=instance,
            now=now,
        )
        self._templates = Templates(
            kube=acting,
            caches=self.caches,
            settings=settings,
            metrics=self.metrics,
            event_recorder=self._events,
            instance=instance,
            now=now,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises:
            TaskEndedError: An essential task has ended, one of kopf's for example.
        """
        await self.supervision.guard(self._run(stop))

    async def _run(self, stop: asyncio.Event) -> None:
        if not await self._list(self.resync.run, stop):
            return
        self.caches.on_change(self._queue.add)
        self.ready = True
        self._events.start(self.supervision)
        self._leader_election.start(self.supervision)
        self._jobs.start(self.supervision)
        self._pods.start(self.supervision)
        own = [
            self.supervision.start("lead", self._lead_forever),
            self.supervision.start("resync", self._resync_forever, restart=True),
            self.supervision.start("kopf's watches", self.watches.until_one_ends),
        ]
        running = handlers.run(self.caches, self._decoder, self._settings.namespace, stop)
        kopf = asyncio.create_task(running, name="kopf")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({kopf, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if kopf.done():
                kopf.result()
        finally:
            await tasks.cancel(*own)
            await self._jobs.stop()
            await self._pods.stop()
            await self._leader_election.stop()
            await self._events.stop(_POST_WITHIN_S)
            # Last: kopf would cancel whatever the others still do at their end.
            await tasks.cancel(kopf, stopping)

    async def _lead_forever(self) -> None:
        """Run the workers while this process leads; restore the state each time it takes over."""
        while True:
            await self._leader_election.leading.wait()
            # Up to here another operator may have written what the watches have not delivered yet:
            # at the start of a process they have not even begun. Written once more, with times of
            # this process, it could differ from what the journal has.
            if not await self._list(self.resync.refresh, self._leader_election.lost):
                continue
            self._queue.forget_failures()
            self._reconciler.restore()
            acting = [
                self.supervision.start(f"worker {number}", self._work) for number in range(_WORKERS)
            ]
            acting.append(self.supervision.start("templates", self._templates.run, restart=True))
            try:
                await self._leader_election.lost.wait()
            finally:
                await tasks.cancel(*acting)

    async def _list(self, run: Callable[[], Awaitable[None]], stop: asyncio.Event) -> bool:
        """List all objects before anything is decided; False if stopped before that.

        Args:
            run: Lists them once, and updates the caches.
            stop: Set if the list is not needed any more.
        """
        while not stop.is_set():
            try:
                await run()
            except KubeError as error:
                log.warning("waiting for Kubernetes: %s", error)
                await tasks.wait(stop, _LIST_AGAIN_S)
            else:
                self.last_contact = time.monotonic()
                return not stop.is_set()
        return False

    async def _work(self) -> None:
        await self._queue.work(self._reconcile, self._failed)

    async def _reconcile(self, name: str) -> None:
        self.metrics.queued.set(len(self._queue))
        with self.metrics.reconciles.time():
            await self._reconciler.reconcile(name)

    def _failed(self, name: str, error: Exception, failures: int) -> None:
        """Count and log a failed reconcile; the first three API errors of a name only as INFO."""
        self.metrics.failures.inc()
        if isinstance(error, KubeError):
            log.log(logging.INFO if failures <= 3 else logging.WARNING, "%s: %s", name, error)
        else:
            log.error("%s: unexpected", name, exc_info=error)

    async def _resync_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_interval)
            try:
                await self.resync.run()
            except KubeError as error:
                log.warning("the resync got no answer: %s", error)
                continue
            self.last_contact = time.monotonic()
            for body in self.caches.corejobs:
                self._queue.add(body["metadata"]["name"])
