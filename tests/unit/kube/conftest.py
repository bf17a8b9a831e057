"""A server, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.scripted import ScriptedApiServer, serving

from corejob_kube.client import Kube


@pytest.fixture
async def server() -> AsyncIterator[ScriptedApiServer]:
    async with serving() as running:
        yield running


@pytest.fixture
async def kube(server: ScriptedApiServer) -> AsyncIterator[Kube]:
    async with kube_client(server.url) as opened:
        yield opened
