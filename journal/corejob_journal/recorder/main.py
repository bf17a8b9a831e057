"""The process `core4-recorder`."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import uvloop

from corejob import model
from corejob_journal.recorder.health import RecorderHealth
from corejob_journal.recorder.membership import Membership
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.rendezvous import SHARED_DUTIES
from corejob_journal.recorder.retention import command
from corejob_journal.recorder.retention.deletion import Retention
from corejob_journal.recorder.settings import RecorderSettings
from corejob_journal.recorder.supervisor import Supervisor
from corejob_journal.store import Store, StoreUnavailable, Writer
from corejob_kube.client import Kube
from corejob_process import json_logs, tasks
from corejob_process.backoff import Backoff
from corejob_process.clock import system_clock
from corejob_process.garbage_collection import collect_rarely
from corejob_process.health import HealthServer
from corejob_process.settings import load
from corejob_process.supervision import Supervision, TaskEndedError, exit_now

log = logging.getLogger(__name__)

_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 2.0


async def open_store(url: str, report: Callable[[str | None], None]) -> Writer:
    """Open the store, retrying while it is unavailable; `report` gets the reason, then None."""
    backoff = Backoff(_RETRY_FIRST_S, _RETRY_MOST_S)
    while True:
        try:
            writer = await Writer.open(url)
        except StoreUnavailable as error:
            log.warning("waiting for the store: %s", error)
            report(str(error))
            await asyncio.sleep(backoff.next())
        else:
            report(None)
            return writer


async def serve(
    settings: RecorderSettings, stop: asyncio.Event, supervision: Supervision | None = None
) -> None:
    """Record until `stop` is set.

    Args:
        settings: The settings.
        stop: Set to end the recorder.
        supervision: Supervises the long-lived tasks; None creates a new one.

    Raises:
        TaskEndedError: A required task has ended.
    """
    supervision = supervision or Supervision()
    running: list[Supervisor] = []
    health = RecorderHealth(supervision, lambda: running[0] if running else None)
    server = HealthServer(health, settings.host, settings.port)
    await server.start()
    try:
        await supervision.guard(_until_stopped(settings, running, stop, supervision))
    finally:
        await server.stop()


async def _until_stopped(
    settings: RecorderSettings,
    running: list[Supervisor],
    stop: asyncio.Event,
    supervision: Supervision,
) -> None:
    recording = asyncio.create_task(_record(settings, running, stop, supervision), name="record")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({recording, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running:
            recording.cancel()  # still waiting for the store
        await asyncio.gather(recording, return_exceptions=not recording.done())
    finally:
        await tasks.cancel(stopping, recording)


async def _record(
    settings: RecorderSettings,
    running: list[Supervisor],
    stop: asyncio.Event,
    supervision: Supervision,
) -> None:
    async with await Kube.load(user_agent="core4-recorder") as kube:
        membership = Membership(
            kube,
            settings.namespace,
            settings.identity,
            alone=settings.alone,
            now=system_clock,
            supervision=supervision,
        )
        try:
            if settings.alone:
                # A lone recorder reports problems by its Lease from the start. With several, the
                # others do, and this one joins only when it can work.
                await membership.join()
            writer = await open_store(settings.store_url, membership.publish_problem)
            try:
                supervisor = Supervisor(
                    kube,
                    settings.namespace,
                    writer,
                    RecorderMetrics(),
                    membership=membership,
                    supervision=supervision,
                )
                running.append(supervisor)
                await _run(settings, supervisor, stop)
            finally:
                await writer.close()
        finally:
            await membership.leave()


async def _run(settings: RecorderSettings, supervisor: Supervisor, stop: asyncio.Event) -> None:
    started = asyncio.Event()

    async def start() -> None:
        await supervisor.start()
        started.set()

    starting = supervisor.supervision.start("start", start, once=True)
    try:
        async with retaining(settings, supervisor, started):
            await stop.wait()
    finally:
        await tasks.cancel(starting)
        await supervisor.stop()


@asynccontextmanager
async def retaining(
    settings: RecorderSettings, supervisor: Supervisor, started: asyncio.Event
) -> AsyncIterator[None]:
    """Run retention beside the recording, once the cache of CoreJobs is synced."""
    if not settings.retention.is_set:
        yield
        return
    store = await Store.open(settings.store_url)
    retention = Retention(
        store=store,
        commits=supervisor.commits,
        policy=settings.retention,
        kept=lambda: {model.job_id(body) for body in supervisor.jobs},
        mine=lambda: supervisor.membership.owns(SHARED_DUTIES),
        metrics=supervisor.metrics,
        now=system_clock,
    )

    async def run() -> None:
        await started.wait()
        await retention.run_forever()

    task = supervisor.supervision.start("retention", run, restart=True)
    try:
        yield
    finally:
        await tasks.cancel(task)
        await store.close()


async def _main(settings: RecorderSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, Supervision(last_resort=exit_now))


def main() -> int:
    """Run the recorder, or its command `retention`. Return the exit code.

    Settings come from the environment.
    """
    try:
        settings = load(RecorderSettings, os.environ)
        json_logs.configure(settings.log_level)
    except ValueError as error:
        sys.stderr.write(f"core4-recorder: {error}\n")
        return 2
    if len(sys.argv) > 1 and sys.argv[1] == "retention":
        return command.run(sys.argv[2:], settings)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    collect_rarely()
    try:
        uvloop.run(_main(settings))
    except TaskEndedError as error:
        log.critical("the process exits, to be restarted: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
