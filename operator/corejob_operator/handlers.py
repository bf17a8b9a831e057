"""All of kopf: handlers, settings, and the check of its watch tasks.

kopf watches the kinds of our own CRDs; informers watch Jobs and pods (`process`). The only handlers
of objects are `on.event`, kopf's choice for level-based operators: they add no annotation, no
finalizer and no retry. Each event goes into the caches, nothing more; the reconciler decides by the
state of the objects, not by the event.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import aiohttp
import kopf

from corejob_kube import credentials, tls
from corejob_kube.cache import ObjectCache
from corejob_kube.decoding import Decoder
from corejob_operator import responses
from corejob_operator.caches import OWN_KINDS, Caches
from corejob_process import tasks
from corejob_process.backoff import Backoff
from corejob_process.supervision import TaskEndedError

_LIST_PAGE: Final = 500
_REQUEST_TIMEOUT_S: Final = 30.0
_CONNECT_TIMEOUT_S: Final = 5.0
_INACTIVITY_TIMEOUT_S: Final = 75.0
_RETRY_FIRST_S: Final = 1.0
_RETRY_MOST_S: Final = 5.0
_WATCH_TASK_PREFIX: Final = "watcher for "
"""Prefix of the names of kopf's watch tasks."""
_POLL_S: Final = 0.1
_ALL_WITHIN_S: Final = 120.0
"""Time for all watches to start; kopf starts them after it has discovered the resources."""


async def run(
    caches: Caches,
    decoder: Decoder,
    namespace: str,
    stop: asyncio.Event,
    *,
    retry_most: float = _RETRY_MOST_S,
) -> None:
    """Run kopf in a namespace until cancelled.

    At its end, kopf cancels each task of the event loop that was created after its start, also the
    tasks of others. A task that still has work to do at the end must have ended before.

    Args:
        caches: The caches that its events update.
        decoder: Decodes what the API server answers to kopf.
        namespace: The namespace.
        stop: Set when the process gets SIGTERM or SIGINT.
        retry_most: Longest pause in seconds before a request is tried again.

    Raises:
        TaskEndedError: kopf ended by itself.
    """
    ready = asyncio.Event()
    signals = asyncio.create_task(_stop_on_signals(stop, ready))
    try:
        await kopf.operator(
            registry=registry(caches, decoder, retry_most=retry_most),
            namespaces=[namespace],
            ready_flag=ready,
        )
    finally:
        await tasks.cancel(signals)
    raise TaskEndedError("kopf has ended though nobody stopped it")


async def _stop_on_signals(stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set `stop` again, once kopf has replaced the process's handlers.

    With kopf's own handlers it would end before `stop` is set, as if by a fault.
    """
    await ready.wait()
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)


def registry(
    caches: Caches, decoder: Decoder, *, retry_most: float = _RETRY_MOST_S
) -> kopf.OperatorRegistry:
    """Return the registry of the handlers for kopf."""
    handlers = kopf.OperatorRegistry()
    kopf.on.startup(registry=handlers)(_startup(retry_most))
    kopf.on.login(registry=handlers)(_login(decoder, caches))
    for resource in OWN_KINDS:
        group, _, version = resource.group_version.rpartition("/")
        kopf.on.event(group, version, resource.plural, registry=handlers, id=resource.plural)(
            _event(caches.cache(resource))
        )
    return handlers


# --- startup ------------------------------------------------------------------------------------


def _startup(retry_most: float) -> Callable[..., Awaitable[None]]:
    async def startup(settings: kopf.OperatorSettings, **_: Any) -> None:
        """Set kopf's settings."""
        configure(settings, retry_most=retry_most)

    return startup


def configure(settings: kopf.OperatorSettings, *, retry_most: float = _RETRY_MOST_S) -> None:
    """Set kopf's settings, each with its reason."""
    # Without scanning, no rights on namespaces and CRDs are needed.
    settings.scanning.disabled = True
    # `leader_election` elects the active operator; peering would freeze those of equal priority.
    settings.peering.standalone = True
    # The operator posts Kubernetes Events itself (`events`), after the status write.
    settings.posting.enabled = False
    _configure_watching(settings.watching)
    _configure_networking(settings, retry_most)
    # Only handlers of changes compare a body with an earlier one. The default storages would
    # deep-copy each body for them, some 40 % of the processor time of an event.
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    # A process that does not end is ended by the process itself (`supervision`), not by kopf.
    settings.process.ultimate_exiting_timeout = None
    # A worker of kopf only fills the cache: waiting long for the next event would save nothing.
    settings.queueing.idle_timeout = 0.5
    # At the end, events that wait for a worker are not needed: the next process lists all objects.
    settings.queueing.exit_timeout = 2.0
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


def _configure_watching(watching: Any) -> None:
    # Pages keep a list of many thousand objects from being in memory twice.
    watching.chunk_size = _LIST_PAGE
    # The API server sends a bookmark each minute: a watch without any for longer is dead, though
    # its connection may look open for hours, as after the loss of a node or of a NAT entry.
    watching.inactivity_timeout = _INACTIVITY_TIMEOUT_S
    # The API server ends a watch after 30 to 60 minutes, at random, so that its clients don't all
    # come back at once. A watch has no time limit of ours, since the next one costs a request.
    watching.server_timeout = None
    watching.client_timeout = None
    watching.connect_timeout = _CONNECT_TIMEOUT_S
    # A pause between two watches, for an API server that ends each at once.
    watching.reconnect_backoff = 0.1


def _configure_networking(settings: kopf.OperatorSettings, retry_most: float) -> None:
    networking = settings.networking
    # As in our own client. Kopf requests nothing but lists in pages, and the discovery.
    networking.request_timeout = _REQUEST_TIMEOUT_S
    # A machine that is gone answers no SYN: without a limit, the kernel tries for two minutes.
    networking.connect_timeout = _CONNECT_TIMEOUT_S
    # Endless: after the last of kopf's default pauses, an API server that answers 503 would end the
    # watch, and so the process. Short: events wait for the pause after the API server is back.
    # An outage that lasts ends the process by the liveness probe (`health`).
    networking.error_backoffs = _Backoffs(retry_most)
    # The API server may ask for a longer pause, but the limit is ours.
    networking.enforce_retry_after = False
    # Proxies are for the way out of the cluster, not for the way to its API server.
    networking.trust_env = False
    # After an error in kopf's own code, such as a body that it can't process, the events of that
    # object are skipped for this time; meanwhile the resync updates the cache.
    settings.queueing.error_delays = (1.0, 5.0, 30.0, 60.0)


class _Backoffs(Iterable[float]):
    """Endless pauses in seconds between the tries of a request; each request starts anew."""

    def __init__(self, most: float) -> None:
        self._most = most

    def __iter__(self) -> Iterator[float]:
        backoff = Backoff(_RETRY_FIRST_S, self._most)
        while True:
            yield backoff.next()


class _NoDiffBase(kopf.DiffBaseStorage):
    """Storage of earlier bodies that keeps none: there are no handlers of changes."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty essence instead of a deep copy."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Return None: nothing was stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Storage of the progress of handlers that keeps none: `on.event` has no progress."""

    def fetch(self, **_: Any) -> Any:
        """Return None: nothing was stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Purge nothing."""

    def touch(self, **_: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence as it is: it has no progress to leave out."""
        return essence


# --- login --------------------------------------------------------------------------------------


def _login(decoder: Decoder, caches: Caches) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    by_plural = {kind.plural: caches.cache(kind) for kind in OWN_KINDS}

    async def login(**_: Any) -> kopf.AiohttpSession:
        """Return a session with our own client's credentials; kopf logs in again after a refusal.

        Its response class cuts objects that are nested too deeply for kopf's JSON parser, and
        spares kopf the versions that the caches have already. Kopf closes the session.
        """
        cluster = await credentials.load()
        header = await credentials.authorization(cluster)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls.context(cluster), limit=0),
            headers={"Authorization": header} if header else {},
            response_class=responses.readable(decoder, by_plural),
        )
        return kopf.AiohttpSession(server=cluster.host, aiohttp_session=session)

    return login


# --- event --------------------------------------------------------------------------------------


def _event(cache: ObjectCache) -> Callable[..., Awaitable[None]]:
    async def event(event: kopf.RawEvent, **_: Any) -> None:
        """Take a watch event into the cache."""
        cache.on_event(event["type"], dict(event["object"]))

    return event


# --- probe --------------------------------------------------------------------------------------


class WatchTasks:
    """Finds kopf's watch tasks by their names, and reports the end of one.

    Kopf only logs the end of one, and continues without it.

    Args:
        count: The number of watch tasks once all have started.

    Attributes:
        complete: Set when all have started.
    """

    def __init__(self, count: int = len(OWN_KINDS)) -> None:
        self.complete = asyncio.Event()
        self._count = count
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def until_one_ends(self) -> None:
        """Run until cancelled, before kopf is stopped; raise if a watch task ends before that.

        Raises:
            RuntimeError: A watch task has ended, or not all have started in time.
        """
        await self._all_started()
        self.complete.set()
        done, _ = await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        task = done.pop()
        error = None if task.cancelled() else task.exception()
        raise RuntimeError(f"kopf's {task.get_name()} has ended") from error

    async def _all_started(self) -> None:
        deadline = time.monotonic() + _ALL_WITHIN_S
        while len(self._tasks) < self._count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"kopf watches {sorted(self._tasks)} only")
            for task in asyncio.all_tasks():
                if task.get_name().startswith(_WATCH_TASK_PREFIX):
                    self._tasks[task.get_name()] = task
            await asyncio.sleep(_POLL_S)
