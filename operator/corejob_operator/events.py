"""Kubernetes Events (events.k8s.io/v1) about CoreJobs and templates, as `kubectl describe` shows.

They are posted after the status write, as a best effort: the status has all that matters.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corejob import names, timestamps
from corejob.model import CoreJob, Status
from corejob.names import Reason
from corejob.state import State
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, UnavailableError
from corejob_kube.resources import EVENTS
from corejob_process import tasks
from corejob_process.supervision import Supervision

log = logging.getLogger(__name__)

_CAPACITY: Final = 10_000
_WORKERS: Final = 4
_RETRY_PAUSES_S: Final = (0.5, 2.0, 8.0, 30.0)
"""Seconds before each retry while the API server is away; together, the time of its restart."""
_MOST_NAME: Final = 230
_MOST_NOTE: Final = 1024
"""Maximum bytes of a note (Kubernetes: "note … maximal length is 1kB")."""
_WARNING_STATES: Final = frozenset({State.ERROR, State.FAILED, State.KILLED, State.INACTIVE})
_WARNING_REASONS: Final = frozenset(
    {
        Reason.FAILED_CREATE,
        Reason.UNSCHEDULABLE,
        Reason.FAILED_MOUNT,
        Reason.IMAGE_PULL,
        Reason.CONTAINER_ERROR,
        Reason.POD_REJECTED,
        Reason.EVICTED,
        Reason.NODE_LOST,
        Reason.TEMPLATE_NOT_FOUND,
        Reason.DUPLICATE,
    }
)


def transition(job: CoreJob, status: Status, now: datetime, instance: str) -> dict[str, Any] | None:
    """Return the Event about a status write; None if neither state nor reason changed."""
    before = job.status
    if job.observed and (before.state, before.reason) == (status.state, status.reason):
        return None
    reason = status.reason or str(status.state).capitalize()
    warning = status.state in _WARNING_STATES or reason in _WARNING_REASONS
    note = f"{status.state}, trial {status.trial}"
    if status.message:
        note += f": {status.message}"
    return event(job, reason, note, now, instance=instance, warning=warning, action="Reconcile")


def event(
    job: CoreJob,
    reason: str,
    note: str,
    now: datetime,
    *,
    instance: str,
    warning: bool,
    action: str,
) -> dict[str, Any]:
    """Return an Event regarding a CoreJob."""
    regarding = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_JOB,
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
        "resourceVersion": job.resource_version,
    }
    return _event(regarding, reason, note, now, instance=instance, warning=warning, action=action)


def template_warning(
    body: Mapping[str, Any], reason: str, note: str, now: datetime, *, instance: str
) -> dict[str, Any]:
    """Return a Warning Event regarding a CoreJobTemplate."""
    meta = body["metadata"]
    regarding = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_TEMPLATE,
        **{key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion")},
    }
    return _event(regarding, reason, note, now, instance=instance, warning=True, action="Reconcile")


def _event(
    regarding: Mapping[str, Any],
    reason: str,
    note: str,
    now: datetime,
    *,
    instance: str,
    warning: bool,
    action: str,
) -> dict[str, Any]:
    # A template's name may use the full length of an Event's name: leave room for the suffix.
    name = f"{regarding['name'][:_MOST_NAME].rstrip('.-')}.{secrets.token_hex(8)}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": regarding["namespace"]},
        "eventTime": timestamps.render(now),
        "reportingController": "core4.io/operator",
        "reportingInstance": instance,
        "action": action,
        "reason": reason,
        "regarding": regarding,
        "note": note.encode()[:_MOST_NOTE].decode(errors="ignore"),
        "type": "Warning" if warning else "Normal",
    }


class EventRecorder:
    """Posts Events in the background; logs and drops those that can't be posted.

    Args:
        kube: The client.
        capacity: Most Events that wait to be posted.
        retry_pauses: Seconds before each retry while the API server is away.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        capacity: int = _CAPACITY,
        retry_pauses: Sequence[float] = _RETRY_PAUSES_S,
    ) -> None:
        self._kube = kube
        self._retry_pauses = retry_pauses
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(capacity)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, supervision: Supervision | None = None) -> None:
        """Start posting.

        Args:
            supervision: Supervises the tasks; None: a new one.
        """
        supervision = supervision or Supervision()
        self._tasks = [
            supervision.start(f"events {number}", self._run, restart=True)
            for number in range(_WORKERS)
        ]

    async def stop(self, within: float) -> None:
        """Post the queued Events within `within` seconds, then stop; drop the rest."""
        try:
            async with asyncio.timeout(within):
                await self._queue.join()
        except TimeoutError:
            log.warning("%d events were not posted", self._queue.qsize())
        await tasks.cancel(*self._tasks)

    def record(self, body: Mapping[str, Any] | None) -> None:
        """Queue an Event; ignore None. Drop the Event if the queue is full."""
        if body is None:
            return
        try:
            self._queue.put_nowait(body)
        except asyncio.QueueFull:
            log.warning("too many events: dropped %s of %s", body["reason"], body["regarding"])

    async def _run(self) -> None:
        while True:
            body = await self._queue.get()
            try:
                await self._create(body)
            except KubeError as error:
                log.warning("an event of %s was not posted: %s", body["regarding"]["name"], error)
            finally:
                self._queue.task_done()

    async def _create(self, body: Mapping[str, Any]) -> None:
        namespace = body["metadata"]["namespace"]
        for pause in (*self._retry_pauses, None):
            try:
                await self._kube.create(EVENTS, namespace, body, manager=names.MANAGER_OPERATOR)
            except ConflictError:
                return  # an earlier try succeeded, but its answer was lost: names are random
            except UnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return
