"""No request blocks the event loop, however costly its response is."""

import asyncio
import base64
import gc
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import DUMMY, Record, RunningApi, enqueue

pytestmark = pytest.mark.timed

BASE = "/core4/api/v1"
MOST_SECONDS = 0.05
MIB = 2**20
BASIC = "Authorization: Basic " + base64.b64encode(b"admin:hans").decode()


class Loop:
    """The maximum processor time that the loop's thread has spent in one callback.

    Processor time, not elapsed time, since the machine has other work too.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worst, self.what = 0.0, ""
        run: Callable[[Any], None] = asyncio.Handle._run

        def timed(handle: Any) -> None:
            begin = time.thread_time()
            # No `repr`: it fails for an incomplete response of aiohttp.
            callback = handle._callback
            what = str(getattr(callback, "__qualname__", type(callback).__name__))
            run(handle)
            spent = time.thread_time() - begin
            if spent > self.worst:
                self.worst, self.what = spent, what

        monkeypatch.setattr(asyncio.Handle, "_run", timed)

    def reset(self) -> None:
        self.worst = 0.0


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    # Keep the many objects of the tests out of garbage collections within a request.
    gc.collect()
    gc.freeze()
    with monkeypatch.context() as patched:
        yield Loop(patched)
    gc.unfreeze()


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    head = [f"{method} {BASE}{path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


async def status_of(api: RunningApi, sent: bytes) -> int:
    """Return the status of the response, or 0 if there is none."""
    parts = urlsplit(api.url or "")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for begin in range(0, len(sent), 2**16):
            writer.write(sent[begin : begin + 2**16])
            await writer.drain()
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read(15)
            while await reader.read(2**16):
                pass
        return int(answer.split()[1]) if answer else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()


def asking(path: str, **arguments: Any) -> bytes:
    body = json.dumps(arguments).encode()
    return request("GET", path, BASIC, "Content-Type: application/json", body=body)


def posted(kind: str, body: bytes, path: str = "/job", sign_in: str = BASIC) -> bytes:
    return request("POST", path, sign_in, f"Content-Type: {kind}", body=body)


def nested(depth: int, leaf: Any, name: str = "$not") -> Any:
    for _ in range(depth):
        leaf = {name: leaf}
    return leaf


def part(number: int) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % number


SLOW = "[ab]*a[ab]{200}z"
MANY = "[ab]*a[ab]{30}z"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
ROWS: dict[str, dict[str, Any]] = {
    "six expressions": {"filter": {"$or": [{"args.text": {"$regex": MANY}}] * 6}},
    "a slow one": {"filter": {"args.text": {"$regex": SLOW}}},
    "a negated one": {"filter": {"args.text": {"$not": {"$regex": MANY}}}},
    "200 conditions": {"filter": {"$or": [{"args": {"$gt": {"x": n}}} for n in range(190)]}},
    "a deep one": {"filter": {"a": nested(300, 1)}},
    "a huge $in": {"filter": {"args.text": {"$in": [str(n) for n in range(9000)]}}},
    "many $in": {"filter": {"$or": [{"a": {"$in": list(range(900))}} for _ in range(150)]}},
    "a large value": {"filter": {"args": {"$eq": {str(n): n for n in range(50_000)}}}},
    "a long path": {"filter": {"." * 450_000: 1}},
    "ways that double": {"filter": {"args.tree" + ".0" * 18: 1}},
    "a long sort": {"sort": "." * 450_000},
    "32 sorts": {"sort": [["args.tree" + ".0" * 18, 1]] * 32},
    "a sort by all": {"sort": [["args", 1]] * 32},
    "wildcards": {"search": "?*" * 2000},
    "more wildcards": {"search": "*a?" * 30},
    "a long search": {"search": "x" * 900_000},
    "a repeated one": {"filter": {"args.text": {"$regex": "((x{30}){30}){30}"}}},
}  # fmt: skip
LOGS: dict[str, dict[str, Any]] = {
    "grep": {"grep": MANY},
    "a slow grep": {"grep": "(a|b)*a(a|b){500}c"},
    "a sort by path": {"sort": "." * 450_000},
    "a filter": {"filter": {"message": {"$regex": MANY}}},
    "a long level": {"level": "1" * 900_000},
    "a long time": {"since": "1" * 900_000},
    "a long tail": {"tail": "1" * 900_000},
}
BODIES = {
    "a form": posted(FORM, b"a&" * (MIB // 2 - 1)),
    "a form with values": posted(FORM, b"a=%41&" * (MIB // 6)),
    "a form of escapes": posted(FORM, b"a=" + b"%41" * (MIB // 3 - 1)),
    "a small form of nobody": posted(FORM, b"a&" * 32_000, sign_in="X: y"),
    "lists": posted(JSON, b"[" + b"[]," * (MIB // 3 - 2) + b"1]"),
    "args of lists": posted(JSON, b'{"qual_name":"x","args":{"a":[' + b"1," * 500_000 + b"1]}}"),
    "args of names": posted(
        JSON,
        json.dumps({"qual_name": DUMMY, "args": {f"k{n}": n for n in range(50_000)}}).encode(),
    ),
    "args of a text": posted(
        JSON, json.dumps({"qual_name": DUMMY, "args": json.dumps({"a": [0] * 300_000})}).encode()
    ),
    "no numbers": posted(JSON, b'{"a":[NaN,' + b"1," * 500_000 + b"1]}"),
    "long numbers": posted(JSON, b'{"a":[' + (b"1" * 900 + b",") * 1100 + b"1]}"),
    "a very long number": posted(JSON, b'{"a":' + b"1" * (MIB - 100) + b"}"),
    "deep": posted(JSON, b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
    "broken": posted(JSON, b'{"a":"' + b"\\ud800" * 170_000 + b'"}'),
    "parts": posted(
        "multipart/form-data; boundary=b", b"".join(map(part, range(15_000))) + b"--b--\r\n"
    ),
    "no parts": posted("multipart/form-data; boundary=b", b"-" * (MIB - 100)),
    "half boundaries": posted("multipart/form-data; boundary=b", b"\r\n--" * (MIB // 4 - 50)),
}
HEADERS = {
    "accept": request("GET", "/nowhere", "Accept: " + "text/*;q=0.1," * 4600),
    "accept of a stream": request("GET", "/job/log/" + "0" * 24, BASIC, "Accept: " + ";q=0," * 900),
    "cookies": request("GET", "/profile", "Cookie: " + "a=b; " * 12_000),
    "a bad cookie": request("GET", "/profile", "Cookie: " + '"\\' * 30_000),
    "a token": request("GET", "/profile", "Authorization: Bearer " + "." * 60_000),
    "a query": request("GET", "/job?" + "a&" * 30_000, BASIC),
    "a query of escapes": request("GET", "/job?a=" + "%41" * 20_000, BASIC),
    "a key": request("POST", "/job", BASIC, "Idempotency-Key: " + "k" * 60_000, body=b"{}"),
    "a place": request("GET", "/job/follow/" + "0" * 24, BASIC, "Last-Event-ID: " + "9" * 60_000),
    "proxies": request("GET", "/job", BASIC, "X-Forwarded-For: " + "1," * 30_000),
    "a path": request("GET", "/" + "a/" * 30_000, BASIC),
}  # fmt: skip


SCHEMAS: dict[str, tuple[Any, Any]] = {
    "a slow pattern": ({"properties": {"a": {"pattern": SLOW}}}, {"a": "ab" * 200_000}),
    "a large pattern": ({"properties": {"a": {"pattern": "((x{30}){30}){30}"}}}, {"a": "x"}),
    "many names": (
        {"patternProperties": {f"[a-z]{{{n}}}": {"type": "integer"} for n in range(1, 90)}},
        {f"k{n}": n for n in range(900)},
    ),
    "a loop": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"a": 1}),
    "ways that double": (
        {
            "$ref": "#/$defs/n0",
            "$defs": {
                f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(30)
            } | {"n30": {}},
        },
        {"a": 1},
    ),
    "equal items": ({"properties": {"a": {"uniqueItems": True}}}, {"a": list(range(50_000))}),
    "a bad reference": ({"$ref": "http://["}, {"a": 1}),
    "large args": ({"additionalProperties": {"items": {"type": "integer"}}}, {"a": [0] * 90_000}),
}  # fmt: skip


@pytest.fixture
async def busy(served: RunningApi, record: Record) -> str:
    """Create a job with large args and long lines among others, and return its id."""
    chosen = random.Random(1)
    text = "".join(chosen.choices("ab", k=150_000))
    tree: Any = "x"
    for _ in range(15):
        tree = [{"0": tree}]
    async with served.client() as client:
        job_id = await enqueue(client, {"text": text, "tree": tree})
        for number in range(20):
            await enqueue(client, {"n": number})
    recorder = await record(job_id)
    await recorder.log(*(text[:100_000] for _ in range(3)), *("x" for _ in range(500)))
    return job_id


async def check(served: RunningApi, loop: Loop, corpus: dict[str, bytes]) -> None:
    """Send each request; none may get a 5xx or block the loop."""
    slow = {}
    await asyncio.sleep(0)  # so that the work of creating the corpus is over
    for name, sent in corpus.items():
        loop.reset()
        assert await status_of(served, sent) < 500, name
        if loop.worst > MOST_SECONDS:
            slow[name] = (loop.worst, loop.what)
    assert slow == {}


@pytest.mark.parametrize("path", ["/job", "/job/list", "/job/journal", "/jobs/history"])
async def test_listings(served: RunningApi, busy: str, loop: Loop, path: str) -> None:
    await check(served, loop, {name: asking(path, **sent) for name, sent in ROWS.items()})


async def test_past_jobs(
    served: RunningApi,
    busy: str,
    loop: Loop,
    journal: Callable[[str], Awaitable[None]],
) -> None:
    await journal(busy)
    loop.reset()
    await check(served, loop, {n: asking("/job/journal", **sent) for n, sent in ROWS.items()})


async def test_logs(served: RunningApi, busy: str, loop: Loop) -> None:
    path = f"/job/log/{busy}"
    await check(served, loop, {n: asking(path, **sent) for n, sent in (LOGS | ROWS).items()})


async def test_bodies(served: RunningApi, loop: Loop) -> None:
    await check(served, loop, BODIES)


async def test_headers(served: RunningApi, loop: Loop) -> None:
    await check(served, loop, HEADERS)


@pytest.mark.parametrize("name", SCHEMAS)
async def test_schemas_of_args(
    served: RunningApi, kube: FakeApiServer, loop: Loop, name: str
) -> None:
    schema, args = SCHEMAS[name]
    kube.template("a.Job", argsSchema=schema)
    await served.until(lambda: served.service.catalogue.get("a.Job") is not None)
    loop.reset()
    sent = {"qual_name": "a.Job", "follow": False, "args": args}
    await check(served, loop, {name: posted(JSON, json.dumps(sent).encode())})
