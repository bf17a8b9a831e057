"""The process: bad settings, and a clean shutdown."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.fake_apiserver.http import write_kubeconfig
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.ports import free_port
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import DUMMY, USERS, stream

from corejob_api import main


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "CORE4_NAMESPACE is not set"),
        ({"CORE4_NAMESPACE": "jobs", "CORE4_PORT": "x"}, "CORE4_PORT must be a whole number"),
        (
            {"CORE4_NAMESPACE": "jobs", "CORE4_HEALTH_PORT": "-1"},
            "CORE4_HEALTH_PORT must be a whole number",
        ),
        ({"CORE4_NAMESPACE": "jobs", "CORE4_STORE_URL": "mysql://x"}, "the store is"),
        ({"CORE4_NAMESPACE": "jobs", "CORE4_JWT_SECRET_FILE": "/nowhere"}, "/nowhere"),
        ({"CORE4_NAMESPACE": "jobs", "CORE4_LOG_LEVEL": "loud"}, "CORE4_LOG_LEVEL must be one of"),
        ({"CORE4_NAMESPACE": "jobs", "KUBECONFIG": "/nowhere"}, "kube-config"),
    ],
)
def test_bad_settings(
    variables: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("CORE4_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("core4-api: ")
    assert words in said
    assert said.count("\n") == 1


# A busy machine may take that long to import everything.
START_SECONDS = 60.0


async def until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def test_a_signal_ends_streams_and_the_process(
    kube: FakeApiServer, writer: Any, store_url: str, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps(USERS))
    port, health_port = free_port(), free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(write_kubeconfig(tmp_path, kube.url)),
        "CORE4_NAMESPACE": NAMESPACE,
        "CORE4_STORE_URL": store_url,
        "CORE4_USERS_FILE": str(users),
        "CORE4_HOST": "127.0.0.1",
        "CORE4_PORT": str(port),
        "CORE4_HEALTH_PORT": str(health_port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "corejob_api.main",
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=DEADLINE, auth=("admin", "hans")
        ) as made:
            await until_ready(f"http://127.0.0.1:{health_port}", process)
            body = {"qual_name": DUMMY}
            async with stream(made, "POST", "/core4/api/v1/job", json=body) as frames:
                assert (await frames.next())[0] == "state"
                process.send_signal(signal.SIGTERM)
                assert await frames.rest() == []
        async with asyncio.timeout(DEADLINE):
            _, said = await process.communicate()
        assert process.returncode == 0
        for line in said.decode().splitlines():
            assert json.loads(line)["level"] == "INFO", line
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
