"""The process `core4-operator` and its command line."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.ports import free_port
from tests.support.signals import DEADLINE

from corejob import names
from corejob_kube.errors import UnavailableError
from corejob_operator import main
from corejob_operator.settings import OperatorSettings
from corejob_process.supervision import TaskEndedError

HOST = "127.0.0.1"
WATCHED = {"corejobs", "corejobtemplates", "jobs", "pods"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE4_NAMESPACE", NAMESPACE)
    monkeypatch.setattr(main, "configure", lambda _level: None)  # it replaces pytest's handlers
    monkeypatch.setattr(main, "collect_rarely", lambda: None)  # it is for the whole process


def failing(error: Exception) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def fail(_settings: OperatorSettings) -> None:
        raise error

    return fail


def test_an_unknown_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run"]) == 2
    assert capsys.readouterr().err == "usage: core4-operator [release]\n"


def test_a_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORE4_TTL_SECONDS", "soon")

    assert main.main([]) == 2
    assert "core4-operator: CORE4_TTL_SECONDS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (TaskEndedError("the task [x] has ended"), "the task [x] has ended"),
        (UnavailableError(503, "Unavailable", "no server"), "no server"),
    ],
)
def test_it_exits_with_1_so_that_the_kubelet_restarts_it(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    logged: str,
) -> None:
    monkeypatch.setattr(main, "serve", failing(error))

    assert main.main([]) == 1
    assert logged in caplog.text


def test_a_regular_end_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(_settings: OperatorSettings) -> None:
        return

    monkeypatch.setattr(main, "serve", end)
    assert main.main([]) == 0


async def test_release_removes_the_finalizers(api: FakeApiServer) -> None:
    meta = {"name": "a", "finalizers": [names.FINALIZER]}
    api.put("corejobs", {"metadata": meta, "spec": {"qualName": "a.Job"}})

    assert await asyncio.to_thread(main.main, ["release"]) == 0
    assert not api.objects["corejobs"]["a"]["metadata"].get("finalizers")


def _is_led(api: FakeApiServer) -> bool:
    lease = api.objects["leases"].get("core4-operator") or {"spec": {}}
    return bool(lease["spec"].get("holderIdentity"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_without_an_error(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    """kopf replaces the handlers of both signals, and would end without the process's knowledge."""
    port = free_port()
    settings = OperatorSettings(NAMESPACE, job_image="x", pod_name="one", host=HOST, port=port)
    serving = asyncio.create_task(main.serve(settings))
    async with asyncio.timeout(DEADLINE):
        while not (api.watches.kinds() >= WATCHED and _is_led(api)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # nothing signals it
        async with aiohttp.ClientSession() as session:
            for path in ("healthz", "readyz", "metrics"):
                async with session.get(f"http://{HOST}:{port}/{path}") as response:
                    assert response.status == 200
        os.kill(os.getpid(), number)
        await serving
    assert "has ended" not in caplog.text
    assert api.objects["leases"]["core4-operator"]["spec"]["holderIdentity"] == ""
