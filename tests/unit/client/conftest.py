"""Both clients against a server whose bytes the tests choose."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.client.blocking import Blocking
from tests.unit.client.raw_server import TOKEN, Asked, RawServer, Reply

from core4.client import AsyncClient, Client, Retries, Timeouts

FAST = Retries(first_pause=0.0, longest_pause=0.0)
SHORT = Timeouts(connect=10.0, read=10.0, total=10.0, stream=10.0)

Connect = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Hide servers, proxies and contexts of the machine."""
    for name in ("CORE4_URL", "CORE4_TOKEN", "KUBERNETES_SERVICE_HOST", "CORE4_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make a client of one kind or the other; its pauses are short."""
    loop = asyncio.new_event_loop()
    made: list[Any] = []

    def make(url: str | None = None, **options: Any) -> Any:
        options = {"retries": FAST, "timeouts": SHORT, **options}
        if request.param == "threads":
            client: Any = Client(url, **options)
        else:
            client = Blocking(AsyncClient(url, **options), loop)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
    # aiohttp closes its transports in the next turns of the loop.
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def server() -> Iterator[RawServer]:
    def unexpected(asked: Asked) -> Reply:
        raise AssertionError(asked)

    made = RawServer(unexpected)
    yield made
    made.close()


@pytest.fixture
def client(connect: Connect, server: RawServer) -> Any:
    return connect(server.url, token=TOKEN)
