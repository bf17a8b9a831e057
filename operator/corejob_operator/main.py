"""The process `core4-operator`, and the command `core4-operator release`."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_operator.health import OperatorHealth
from corejob_operator.process import Operator
from corejob_operator.release import release
from corejob_operator.settings import OperatorSettings
from corejob_process.garbage_collection import collect_rarely
from corejob_process.health import HealthServer
from corejob_process.json_logs import configure
from corejob_process.settings import load
from corejob_process.supervision import Supervision, TaskEndedError, exit_now

log = logging.getLogger(__name__)


async def serve(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # kopf replaces these handlers when it starts; `handlers.run` sets them again.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with await Kube.load(user_agent="core4-operator") as kube:
        supervision = Supervision(last_resort=exit_now)
        operator = Operator(kube, settings, instance=settings.pod_name, supervision=supervision)
        health = OperatorHealth(operator, settings.resync_interval)
        server = HealthServer(health, settings.host, settings.port)
        await server.start()
        collect_rarely()
        try:
            await operator.run(stop)
        finally:
            await server.stop()


async def _release(settings: OperatorSettings) -> None:
    async with await Kube.load(user_agent="core4-operator") as kube:
        count = await release(kube, settings.namespace)
    log.info("released %d CoreJobs", count)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the operator, or `release`; return the exit code. Settings come from the environment."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments not in ([], ["release"]):
        sys.stderr.write("usage: core4-operator [release]\n")
        return 2
    try:
        settings = load(OperatorSettings, os.environ)
        configure(settings.log_level)
    except ValueError as error:
        sys.stderr.write(f"core4-operator: {error}\n")
        return 2
    try:
        uvloop.run(_release(settings) if arguments else serve(settings))
    except TaskEndedError as error:
        log.critical("the process exits, to be restarted: %s", error)
        return 1
    except KubeError as error:
        log.error("no use going on: %s", error)  # noqa: TRY400  # the message says all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
