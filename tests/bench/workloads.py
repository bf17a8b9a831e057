"""The kinds of jobs that are compared: the service's, and raw Jobs with the same pods."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.client import Send, creator, enqueuer
from tests.bench.life import Workload
from tests.bench.simulated import COMPLETE, Stage

from corejob_kube.client import Kube
from corejob_kube.resources import COREJOBS, JOBS


def core4(stage: Stage) -> Workload:
    """Return jobs that are enqueued by `POST /job`."""

    @asynccontextmanager
    async def sender(_kube: Kube) -> AsyncIterator[Send]:
        stamp = time.time_ns()
        job = lambda number: (COMPLETE, {"n": f"{stamp}-{number}"})  # noqa: E731
        async with enqueuer(stage.rest, job) as send:
            yield send

    return Workload(stage.release.kubectl, COREJOBS, sender)


def raw(stage: Stage, document: dict[str, Any]) -> Workload:
    """Return raw Jobs, all from one document without a name."""

    @asynccontextmanager
    async def sender(kube: Kube) -> AsyncIterator[Send]:
        yield creator(kube, JOBS.path(stage.raw.namespace), lambda _: document)

    return Workload(stage.raw, JOBS, sender)
