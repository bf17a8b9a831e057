"""Requests to the whole API, in this process, over a filled store."""

import json
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from tests.bench import figures
from tests.bench.journal.data import NAMES, Amount, job_id
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import DUMMY, RunningApi, running

Request = tuple[str, dict[str, Any]]
_SHARES = (0.5, 0.99)
_WARM_UP = 5
_NEWEST = [["finished_at", -1]]


class _Token(httpx.Auth):
    """Signs in by token, since a password check takes longer than the measured request."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


async def measure(url: str, amount: Amount, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Send each kind of request repeatedly, each time with other values."""
    kube = FakeApiServer("api")
    await kube.start()
    try:
        kube.template(DUMMY)
        async with running(kube, url, folder) as api:
            return await _measure(api, amount, rounds)
    finally:
        await kube.stop()


async def _measure(api: RunningApi, amount: Amount, rounds: int) -> list[dict[str, Any]]:
    found = []
    async with api.client() as client:
        client.auth = _Token((await client.get("login")).json()["data"]["token"])
        cursors = await _cursors(client, amount)
        for name, requests in _kinds(amount, random.Random(5), cursors).items():
            made = [next(requests) for _ in range(rounds + _WARM_UP)]
            seconds = [await _take(client, *request) for request in made]
            found.append(figures.summary(name, seconds[_WARM_UP:], _SHARES))
    return found


async def _take(client: httpx.AsyncClient, path: str, arguments: dict[str, Any]) -> float:
    texts = {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in arguments.items()
    }
    began = time.perf_counter()
    answer = await client.get(path, params=texts)
    taken = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.get("count") != 0, (path, arguments)
    return taken


async def _cursors(client: httpx.AsyncClient, amount: Amount) -> list[str]:
    """Return cursors at places all over the journal."""
    found = []
    for part in range(1, 10):
        page = amount.jobs * part // 100
        answer = await client.get("job/journal", params={"page": page, "per_page": 10})
        found.append(answer.json()["next_cursor"])
    return found


def _kinds(
    amount: Amount, chance: random.Random, cursors: Sequence[str]
) -> dict[str, Iterator[Request]]:
    def of(make: Callable[[], dict[str, Any]], path: str = "job/journal") -> Iterator[Request]:
        while True:
            arguments = make()
            yield arguments.pop("path", path), arguments

    def one(states: Sequence[str] = ("complete", "error")) -> dict[str, Any]:
        return {"qual_name": chance.choice(NAMES), "state": chance.choice(states)}

    def some_id() -> str:
        return job_id(chance.randrange(amount.jobs), amount)

    def day() -> dict[str, Any]:
        start = f"2026-{chance.randint(1, 9):02}-{chance.randint(1, 28):02}"
        return {"finished_at": {"$gte": f"{start}T00", "$lt": f"{start}T23:59:59"}}

    def long_log() -> dict[str, Any]:
        number = chance.randrange(0, amount.jobs, 100)
        last = max(1, amount.lines(number) // 100)
        page = chance.randrange(last)
        return {"path": f"job/log/{job_id(number, amount)}", "per_page": 100, "page": page}

    pages = amount.jobs // 10
    return {
        "first page": of(dict),
        "any page": of(lambda: {"page": chance.randrange(pages)}),
        "last page": of(lambda: {"page": -1}),
        "by cursor": of(lambda: {"cursor": chance.choice(cursors), "per_page": 100}),
        "newest finished first": of(lambda: {"sort": _NEWEST}),
        "qual_name and state": of(lambda: {"filter": one()}),
        "qual_name and state, newest": of(lambda: {"filter": one(), "sort": _NEWEST}),
        "state": of(lambda: {"filter": {"state": chance.choice(("error", "killed"))}}),
        "qual_name by regex": of(
            lambda: {"filter": {"qual_name": {"$regex": rf"team_{chance.randrange(10)}\."}}}
        ),
        "finished on a day": of(lambda: {"filter": day(), "sort": _NEWEST}),
        "user": of(lambda: {"filter": {"enqueued.username": f"user{chance.randrange(50)}"}}),
        "args, by cursor": of(
            lambda: {"filter": {"args.segment": chance.randrange(10)}, "cursor": ""}
        ),
        "detail": of(lambda: {"path": f"job/{some_id()}"}),
        "log page of 100": of(long_log),
    }
