"""Start a follower for each pod that has a log to read, and restart followers that fail."""

import asyncio
import logging
from functools import partial
from typing import Any, Final

from corejob import model
from corejob.names import LABEL_COREJOB
from corejob_journal.recorder import cached
from corejob_journal.recorder.archive.archiver import Archiver
from corejob_journal.recorder.archive.queue_counts import QueueCounts
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.ingest import pods
from corejob_journal.recorder.ingest.failing import FailingPods
from corejob_journal.recorder.ingest.log_appender import StaleError
from corejob_journal.recorder.ingest.log_follower import LogFollower
from corejob_journal.recorder.ingest.log_status import LogStatusReporter
from corejob_journal.recorder.ingest.owners import Owners
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.retries import Retries
from corejob_journal.recorder.ingest.services import FollowerServices
from corejob_journal.recorder.ingest.unreadable import Unreadable
from corejob_journal.recorder.membership import Membership
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.publish.cookies import CookieWriter
from corejob_journal.recorder.publish.status import StatusWriter
from corejob_journal.recorder.rendezvous import SHARED_DUTIES
from corejob_journal.store import Writer
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.informer import Informer
from corejob_kube.parse_once import ParseOnce
from corejob_kube.resources import COREJOBS, PODS
from corejob_kube.workqueue import WorkQueue
from corejob_process import tasks
from corejob_process.clock import Clock, system_clock
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

_WORKERS: Final = 64
"""Jobs reconciled at a time: each waits for the store, and those that wait share transactions."""
_RESYNC_S: Final = 30.0
_RESTART_S: Final = 1.0
_STOP_WITHIN_S: Final = 5.0
_QUIET_FAILURES: Final = 3


class Supervisor:
    """The recorder without its health server: watches, followers, archiver, queue counts.

    Args:
        kube: The API server.
        namespace: The namespace that is served.
        writer: The store.
        metrics: The recorder's metrics.
        membership: The membership of this recorder among those that share the work.
        now: The clock.
        supervision: Supervises the long-lived tasks; None creates a new one.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        writer: Writer,
        metrics: RecorderMetrics,
        *,
        membership: Membership,
        now: Clock = system_clock,
        supervision: Supervision | None = None,
    ) -> None:
        self.supervision = supervision or Supervision()
        self.metrics = metrics
        self.membership = membership
        self.jobs = Informer(kube, COREJOBS, namespace, keep=cached.corejob)
        self.pods = Informer(kube, PODS, namespace, selector=LABEL_COREJOB, keep=cached.pod)
        self.commits = GroupCommit(writer, metrics)
        self.commits.listen(membership.publish_problem)
        parse = self._parse = ParseOnce(model.parse)
        self._queue_counts = QueueCounts(self.jobs, self.commits, now, parse=parse)
        status = StatusWriter(kube, namespace, self.jobs, parse=parse)
        self._status = status
        self._cookies = CookieWriter(kube, namespace, self.commits.cookies)
        retries = Retries()
        self._failing = FailingPods(
            retries, again=self._try_again, unreadable=self._unreadable_of, lasts=self._lasts
        )
        self._services = FollowerServices(
            kube=kube,
            namespace=namespace,
            jobs=self.jobs,
            commits=self.commits,
            status=status,
            cookies=self._cookies,
            metrics=metrics,
            retries=retries,
            failing=self._failing,
            parse=parse,
        )
        self._followers: dict[str, LogFollower] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._finalised_pods: set[str] = set()
        self._owners = Owners(kube, namespace, self.jobs, parse=parse)
        self._owner_checks: dict[str, asyncio.Task[None]] = {}
        self._ready = False
        self._archiver = Archiver(
            kube=kube,
            namespace=namespace,
            jobs=self.jobs,
            pods=self.pods,
            commits=self.commits,
            status=status,
            cookies=self._cookies,
            metrics=metrics,
            followed=self._is_followed,
            now=now,
            parse=parse,
        )
        self._queue = WorkQueue()
        self._workers: list[asyncio.Task[None]] = []
        self._resync: asyncio.Task[None] | None = None
        self._following_own_pods: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start, and wait until the caches are synced and all their pods have followers."""
        self.jobs.listen(self._job_changed)
        self.pods.listen(self._pod_changed)
        self.commits.start(self.supervision)
        self.jobs.start(self.supervision)
        self.pods.start(self.supervision)
        await self.jobs.synced()
        await self.pods.synced()
        await self.membership.join()
        self._queue_counts.assign(mine=self.membership.owns(SHARED_DUTIES))
        self._queue_counts.start(self.supervision)
        self.membership.listen(self._redistribute)
        await self._follow_own_pods()
        work = partial(self._queue.work, self._reconcile, _failed)
        for number in range(_WORKERS):
            self._workers.append(self.supervision.start(f"worker {number}", work))
        self._resync = self.supervision.start("resync", self._resync_forever, restart=True)

    async def stop(self) -> None:
        """Stop reading, store what was read, write the pending status, and leave the members."""
        self._ready = False
        await tasks.cancel(
            *(task for task in (self._resync, self._following_own_pods) if task is not None)
        )
        await tasks.cancel(*self._workers)
        await self.pods.stop()
        await self.jobs.stop()
        self._failing.close()
        await tasks.cancel(*self._owner_checks.values())
        await tasks.cancel(*self._tasks.values())
        await self._queue_counts.stop()
        await self.commits.close(_STOP_WITHIN_S)
        await self._cookies.close(1.0)
        await self._status.close(1.0)
        await self.membership.leave()

    def _is_followed(self, name: str, trial: int) -> bool:
        return any(
            follower.pod.child.corejob == name and follower.pod.child.trial == trial
            for follower in self._followers.values()
        )

    async def _reconcile(self, name: str) -> None:
        if self.membership.owns(name):
            await self._archiver.reconcile(name)

    def _redistribute(self) -> None:
        """Handle a change of members: stop following logs of other owners, and take own ones.

        A follower that is stopped submits what it has read to the store. The new owner begins from
        the store's position, and restarts from there if it is stale.
        """
        if not self._ready:
            return
        self._queue_counts.assign(mine=self.membership.owns(SHARED_DUTIES))
        for uid, follower in self._followers.items():
            if not self.membership.owns(follower.pod.child.corejob):
                self._tasks[uid].cancel()
        for pod in self._failing.pods:
            if not self.membership.owns(pod.child.corejob):
                # It may have no follower now, whose end would do this.
                self._forget_failure(pod.uid)
                self._status.detached(pod.child.corejob, pod.child.trial)
        if self._following_own_pods is not None:
            self._following_own_pods.cancel()
        self._following_own_pods = self.supervision.start(
            "follow own pods", self._follow_own_pods, once=True
        )

    async def _follow_own_pods(self) -> None:
        """Follow the pods that this recorder owns, except those whose log is finalised."""
        uids = [body["metadata"]["uid"] for body in self.pods]
        streams = await self.commits.call(lambda writer: writer.streams(uids))
        self._finalised_pods.update(uid for uid, stream in streams.items() if stream.finalised)
        self._ready = True
        for body in self.pods:
            self._consider(pods.parse(body))
        for body in self.jobs:
            self._queue.add(body["metadata"]["name"])

    # --- events -----------------------------------------------------------------------------

    def _job_changed(self, name: str, _old: Any, new: Any) -> None:
        if new is None:
            self._status.forget(name)
            self._archiver.forget(name)
        else:
            self._status.observe(self._parse(new))
        self._queue.add(name)

    def _pod_changed(self, _name: str, old: Any, new: Any) -> None:
        body = new if new is not None else old
        pod = pods.parse(body)
        if pod is None:
            return
        follower = self._followers.get(pod.uid)
        if follower is not None:
            follower.update(pod)
            if new is None:
                follower.vanished()
        if new is None:
            self._finalised_pods.discard(pod.uid)
            self._queue.add(pod.child.corejob)
        else:
            self._consider(pod)

    def _consider(self, pod: JobPod | None) -> None:
        """Follow a pod if there is a log to read or its end to record."""
        if pod is None or not self._ready:
            return
        if pod.uid in self._followers or pod.uid in self._finalised_pods:
            return
        if not self.membership.owns(pod.child.corejob):
            return
        if not self._owners.is_known(pod):
            self._check_owner(pod)
            return
        owner = self._owners.owner(pod)
        if owner is None:
            return
        if pod.has_log or pod.over:
            follower = self._followers[pod.uid] = LogFollower(self._services, pod, owner)
            task = asyncio.create_task(self._follow(follower), name=f"follow {pod.child.name}")
            task.add_done_callback(partial(self._ended, follower))
            self._tasks[pod.uid] = task
            self._failing.started(pod.uid)
            self.metrics.followers.set(len(self._followers))
        elif self._is_second(pod):
            # A second pod of a trial whose log was complete makes it incomplete again.
            self._status.log(pod.child.corejob, pod.child.trial, None, complete=False)

    def _check_owner(self, pod: JobPod) -> None:
        """Find the pod's owner as soon as it is seen, while its Job exists; then consider it."""
        if pod.uid not in self._owner_checks:
            task = asyncio.create_task(
                self._run_owner_check(pod), name=f"owner of {pod.child.name}"
            )
            self._owner_checks[pod.uid] = task
            task.add_done_callback(tasks.log_failure)

    async def _run_owner_check(self, pod: JobPod) -> None:
        try:
            await self._owners.check(pod)
        except KubeError as error:
            self._failing.failed(pod, f"its CoreJob can't be looked up: {error}")
            return
        finally:
            del self._owner_checks[pod.uid]
        self._try_again(pod)

    def _unreadable_of(self, pod: JobPod) -> Unreadable:
        """Return what reports that a pod's log can't be read while it has no follower."""

        def is_own() -> bool:
            known = self._owners.owner(pod) is not None or self._owners.may_own(pod)
            return known and self._failing.holds(pod.uid)

        return LogStatusReporter(self._services, pod, is_own=is_own).unreadable

    def _try_again(self, pod: JobPod) -> None:
        """Try again with a pod whose owner was not found, or whose follower has failed."""
        self._consider_newest(pod)
        if pod.uid not in self._followers and pod.uid not in self._owner_checks:
            # There is nothing to read, or another recorder owns it now.
            self._forget_failure(pod.uid)

    def _lasts(self, uid: str) -> None:
        """Handle that the follower of a pod has run for a while."""
        if uid in self._followers:
            self._followers[uid].works()

    def _forget_failure(self, uid: str) -> None:
        if self._failing.forget(uid):
            self.metrics.unreadable(uid, unreadable=False)

    def _is_second(self, pod: JobPod) -> bool:
        body = self.jobs.get(pod.child.corejob) or {}
        log_status = (body.get("status") or {}).get("log") or {}
        return bool(log_status.get("complete")) and log_status.get("trial") == pod.child.trial

    async def _follow(self, follower: LogFollower) -> None:
        child = follower.pod.child
        try:
            await follower.run()
            self._forget_failure(follower.pod.uid)
            if self.pods.get(child.name) is not None:
                self._finalised_pods.add(follower.pod.uid)
        except StaleError:
            log.info("the log of %s is stored by another process too", child.name)
            self._status.detached(child.corejob, child.trial)
            self._follow_later(follower.pod)
        except Exception as error:
            # Not detached: that might drop the report that following it fails.
            log.exception("following %s failed", child.name)
            self._failing.failed(follower.pod, f"following it fails: {error!r}")

    def _ended(self, follower: LogFollower, task: "asyncio.Task[None]") -> None:
        """Done-callback of a follower's task, which also runs if the task was never started."""
        del self._followers[follower.pod.uid], self._tasks[follower.pod.uid]
        self.metrics.followers.set(len(self._followers))
        child = follower.pod.child
        if task.cancelled():
            self._status.detached(child.corejob, child.trial)
            self._follow_later(follower.pod)  # this recorder may own the pod again meanwhile
        else:
            self._queue.add(child.corejob)

    def _follow_later(self, pod: JobPod) -> None:
        """Follow again from the store's position, after a pause.

        A pod that is gone is followed too, so that its missing lines are named.
        """
        asyncio.get_running_loop().call_later(_RESTART_S, self._consider_newest, pod)

    def _consider_newest(self, pod: JobPod) -> None:
        body = self.pods.get(pod.child.name)
        newest = pods.parse(body) if body is not None else None
        self._consider(newest if newest is not None and newest.uid == pod.uid else pod)

    async def _resync_forever(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_S)
            self._owners.keep({*self._followers, *(body["metadata"]["uid"] for body in self.pods)})
            for body in self.jobs:
                if not cached.at_rest(body):
                    self._queue.add(body["metadata"]["name"])


def _failed(key: str, error: Exception, failures: int) -> None:
    """Log a failed reconcile: as a warning only if it repeats, since outages are mostly short."""
    lasts = failures > _QUIET_FAILURES
    level = logging.WARNING if lasts else logging.DEBUG
    log.log(level, "%s: trying again: %s", key, error, exc_info=error if lasts else None)
