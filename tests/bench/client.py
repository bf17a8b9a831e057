"""Asynchronous clients of the API server and of the REST API, many requests at a time."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

from corejob_kube.client import Kube

Send = Callable[[int], Awaitable[None]]
"""Sends the request of a number."""


@asynccontextmanager
async def administrator(kubectl: Kubectl) -> AsyncIterator[Kube]:
    """Open a client with the credentials of kubectl."""
    settings = Configuration()
    await load_kube_config(str(kubectl.provider.kubeconfig), client_configuration=settings)
    async with Kube(settings, user_agent="core4-bench") as kube:
        yield kube


@asynccontextmanager
async def enqueuer(
    rest: Rest, job: Callable[[int], tuple[str, dict[str, Any]]]
) -> AsyncIterator[Send]:
    """Yield a function that enqueues by `POST /job`; `job` returns a number's name and args."""
    headers = {"Authorization": rest.authorization}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def send(number: int) -> None:
            qual_name, args = job(number)
            body = {"qual_name": qual_name, "args": args, "follow": False}
            async with session.post(f"{rest.url}/job", json=body) as response:
                assert response.status == 200, await response.text()
                await response.read()

        yield send


def creator(kube: Kube, path: str, document: Callable[[int], Any]) -> Send:
    """Return a function that creates the object of its number."""

    async def send(number: int) -> None:
        await kube.request("POST", path, body=document(number))

    return send


async def send_all(send: Send, *, clients: int, count: int) -> list[float]:
    """Send `count` requests by `clients` clients; return the duration of each in seconds."""
    numbers, delays = itertools.count(), list[float]()

    async def client() -> None:
        while (number := next(numbers)) < count:
            began = time.monotonic()
            await send(number)
            delays.append(time.monotonic() - began)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())
    return delays
