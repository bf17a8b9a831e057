"""A recorder in a process of its own, for tests that kill or stop it.

Usage: recording_child.py <URL of the API server> <namespace> <URL of the store> <identity>
[<seconds that its Lease lasts> <seconds between renewals>]
"""

import asyncio
import sys
from typing import Any

from kubernetes.aio.client import Configuration

from corejob_journal.recorder.membership import Membership
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.supervisor import Supervisor
from corejob_journal.store import Writer
from corejob_kube.client import Kube
from corejob_process.clock import system_clock


async def main(cluster: str, namespace: str, store: str, identity: str, **lease: Any) -> None:
    configuration = Configuration()
    configuration.host = cluster
    writer = await Writer.open(store)
    async with Kube(configuration, user_agent="test") as kube:
        member = Membership(kube, namespace, identity, alone=False, now=system_clock, **lease)
        await Supervisor(kube, namespace, writer, RecorderMetrics(), membership=member).start()
        print("recording", flush=True)  # noqa: T201
        await asyncio.Event().wait()


given, seconds = sys.argv[1:5], [float(word) for word in sys.argv[5:]]
lease: dict[str, Any] = dict(zip(("duration", "renew_every"), seconds, strict=False))
asyncio.run(main(*given, **lease))
