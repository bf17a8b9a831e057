"""``python -m tests.bench.fanout NAMESPACE POD``: sends the lines of a pod to all its clients.

The baseline of followers: the minimum that an event stream to that many clients costs here. It
stores nothing, treats all clients alike, and buffers in memory what a client does not read. It
prints its port; KUBECONFIG names the cluster.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from corejob_kube.client import Kube
from corejob_kube.resources import PODS

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: welcome\n\n"
_BACKLOG = 2048


class _Client(asyncio.Protocol):
    def __init__(self, transports: set[Any]) -> None:
        self._transports = transports
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._transport.write(_HEAD)
        self._transports.add(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transports.discard(self._transport)


def main(pod: Sequence[str]) -> int:
    """Serve until the log ends, or a signal comes."""
    uvloop.run(_serve(*pod))
    return 0


async def _serve(namespace: str, pod: str) -> None:
    transports: set[Any] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(transports), "127.0.0.1", 0, backlog=_BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    params = {"follow": "true", "tailLines": "0"}
    async with (
        await Kube.load(user_agent="core4-bench") as kube,
        kube.stream(PODS.path(namespace, pod, "log"), params=params, idle=None) as content,
    ):
        async for line in content:
            frame = b"event: log\ndata: " + line + b"\n"
            for transport in transports:
                transport.write(frame)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
