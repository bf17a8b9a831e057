"""A server, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.kube.server import Server, client, serving

from corejob_kube.client import Kube


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[Kube]:
    async with client(server.url) as opened:
        yield opened
