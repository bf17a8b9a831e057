"""Targets of requests in absolute form."""

import base64

import httpx
import pytest
from tests.unit.api.conftest import RunningApi, enqueue
from tests.unit.api.test_hostile_requests import raw

BASE = "/core4/api/v1"
BASIC = b"Authorization: Basic " + base64.b64encode(b"admin:hans") + b"\r\n"


async def status_of(served: RunningApi, target: str, *headers: bytes, method: str = "GET") -> int:
    request = f"{method} {target} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n".encode()
    answer = await raw(served, request + b"".join(headers) + b"\r\n")
    return int(answer.split()[1])


@pytest.mark.parametrize("host", ["http://x", "HTTP://x:5001", "https://[::1]:5001"])
async def test_a_target_with_a_host_is_that_path(
    served: RunningApi, caller: httpx.AsyncClient, host: str
) -> None:
    job_id = await enqueue(caller)
    assert await status_of(served, f"{host}{BASE}/job/{job_id}", BASIC) == 200
    assert await status_of(served, f"{host}{BASE}/job?per_page=0", BASIC) == 400
    assert await status_of(served, f"{host}{BASE}/job%2Flist", BASIC) == 200
    assert await status_of(served, host, BASIC) == 404


@pytest.mark.parametrize("target", ["ftp://x/core4/api/v1/job", "x/core4/api/v1/job", "http:/job"])
async def test_other_targets_are_unknown(served: RunningApi, target: str) -> None:
    assert await status_of(served, target, BASIC) == 404


async def test_the_host_of_the_target_counts(served: RunningApi) -> None:
    own, foreign = b"Origin: http://x\r\n", b"Origin: http://other\r\n"
    target = f"http://x{BASE}/job/queue"
    assert await status_of(served, target, BASIC, own, method="POST") == 200
    assert await status_of(served, target, BASIC, foreign, method="POST") == 403
