"""Every stream, read by several SSE clients: each gets all of it, as it was written."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import sse_clients
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.support.sse_clients import Event
from tests.unit.api.conftest import DUMMY, STARTED, Record, Recorder, RunningApi, enqueue, running

from corejob_api.streams import counts
from corejob_journal.store import Writer
from corejob_journal.store.records import NewGap

BASE = "/core4/api/v1"
WORDS = [
    "Grüße",
    "Ångström ✅ \U0001f600",
    "a\u2028b\u2029c\u0085d",
    "\u0085",
    "\r",
    "one\r\ntwo\n\nthree\n",
    "tab\there",
    "",
    " ",
    "\x0b\x0c\x1c\x1d\x1e\x1f\x7f",
    "\ufeffdata: {}\n\nevent: close\n",
    '\\u2028 "\\"',
    "end",
]


@pytest.fixture(params=sse_clients.ALL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Reader:
    """Reads a stream of the API in a thread, with the client of that name."""

    def __init__(self, api: RunningApi, name: str) -> None:
        self._api = api
        self._name = name

    def __call__(self, method: str, path: str, body: Any = None) -> asyncio.Task[list[Event]]:
        read = sse_clients.ALL[self._name]
        url = f"{self._api.url}{BASE}/{path}"
        return asyncio.create_task(asyncio.to_thread(read, method, url, body))

    async def streaming(self) -> None:
        """Wait until one stream is open."""
        await self._api.until(lambda: len(self._api.service.hub) == 1)


@pytest.fixture
def read(served: RunningApi, name: str) -> Reader:
    return Reader(served, name)


async def live(api: RunningApi, recorder: Recorder, job_id: str) -> None:
    """Write a job's log while it is followed, then end the job."""
    await api.status(
        job_id, **STARTED, message="a\u2028b", progress={"value": 0.5, "message": "ü\u0085"}
    )
    half = len(WORDS) // 2
    await recorder.log(*WORDS[:half])
    await recorder.log(*WORDS[half:], gap=NewGap(3, 4, "lost\u2029"))
    error = {"exception": "E\u2028", "timestamp": None, "traceback": ["Å\u0085"]}
    await api.status(job_id, state="error", lastError=error)
    await recorder.settle()
    await api.log_complete(job_id)


def check(found: list[Event], name: str, *, states: bool = True) -> None:
    """Check that all records arrived as they were written, in order, once."""
    records = [event for event in found if event.type == "log"]
    assert [event.data["message"] for event in records] == WORDS
    numbers = [event.data["_id"] for event in records]
    assert numbers == [f"{number:012d}" for number in range(1, len(WORDS) + 1)]
    # Without ids, the last record's `_id` serves instead.
    with_ids = name in sse_clients.WITH_IDS
    assert [event.id for event in records] == (numbers if with_ids else [""] * len(numbers))
    (gap,) = [event.data for event in found if event.type == "gap"]
    assert gap["reason"] == "lost\u2029"
    assert found[-1].type == "close"
    assert found[-1].data["log"] == len(WORDS)
    assert found[-1].id == (numbers[-1] if with_ids else "")
    documents = [event.data for event in found if event.type == "state"]
    assert bool(documents) == states
    if states:
        assert documents[-1]["last_error"]["exception"] == "E\u2028"
        assert documents[-1]["last_error"]["traceback"] == ["Å\u0085"]
        assert documents[0]["args"] == {"k\u2028": "v\u0085"}


@pytest.mark.parametrize("path", ["job/follow/{}", "job/log/{}?follow=true"])
async def test_a_job_that_is_followed(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    read: Reader,
    name: str,
    path: str,
) -> None:
    job_id = await enqueue(caller, {"k\u2028": "v\u0085"})
    reading = read("GET", path.format(job_id))
    await read.streaming()
    await live(served, await record(job_id), job_id)
    check(await reading, name, states="follow/" in path)


async def test_a_job_that_is_enqueued(
    served: RunningApi, record: Record, read: Reader, name: str
) -> None:
    body = {"qual_name": DUMMY, "args": {"k\u2028": "v\u0085"}}
    reading = read("POST", "job", body)
    await read.streaming()
    (job_id,) = served.kube.objects["corejobs"]
    await live(served, await record(job_id), job_id)
    check(await reading, name)


@pytest.mark.parametrize("state", ["failed", "error"])
async def test_a_job_that_is_restarted(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    read: Reader,
    name: str,
    state: str,
) -> None:
    job_id = await enqueue(caller, {"k\u2028": "v\u0085"})
    await served.status(job_id, state=state)
    reading = read("PUT", f"job/restart/{job_id}")
    await read.streaming()
    job_id = max(served.kube.objects["corejobs"])
    await live(served, await record(job_id), job_id)
    check(await reading, name)


@pytest.mark.parametrize("path", ["job/follow/{}", "job/log/{}?follow=true"])
async def test_a_past_job(
    served: RunningApi,
    caller: httpx.AsyncClient,
    record: Record,
    read: Reader,
    name: str,
    journal: Any,
    path: str,
) -> None:
    job_id = await enqueue(caller, {"k\u2028": "v\u0085"})
    await live(served, await record(job_id), job_id)
    await journal(job_id)
    check(await read("GET", path.format(job_id)), name, states="follow/" in path)


async def test_a_job_that_is_read_from_a_record_on(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, read: Reader, name: str
) -> None:
    """A client without ids resumes by the `_id` of a record; then it must support ids."""
    job_id = await enqueue(caller)
    await live(served, await record(job_id), job_id)
    whole = await read("GET", f"job/follow/{job_id}")
    last = [event for event in whole if event.type == "log"][4].data["_id"]
    if name.startswith(("original", "iter_lines")):
        # These clients don't support ids, so none is sent unless it was requested.
        assert {event.id for event in whole} == {""}
        async with asyncio.timeout(DEADLINE):
            path = f"{served.url}{BASE}/job/follow/{job_id}?last_event_id={last}"
            text = (await caller.get(path)).text
        found = list(sse_clients.browser_events([text.encode()]))
    else:
        found = await read("GET", f"job/follow/{job_id}?last_event_id={last}")
    assert [event.data["message"] for event in found if event.type == "log"] == WORDS[5:]


async def test_the_counts(
    served: RunningApi,
    caller: httpx.AsyncClient,
    read: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts, "_PAUSE_S", 0.0)
    reading = read("GET", "event")
    await read.streaming()
    for number in range(3):
        await enqueue(caller, {"n": number})
        # Each count is a frame, unless a newer one replaces it.
        await asyncio.sleep(0.01)
    await served.until(lambda: served.service.queue.state_counts.total == 3)
    served.service.hub.end_streams()
    found = await reading
    assert {(event.type, event.id) for event in found} == {("summary", "")}
    assert found[0].data["total"] == 0


async def test_silence(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path, record: Record, name: str
) -> None:
    """The comments of a silent stream are no events for any client, filtered or not."""
    async with (
        running(kube, store_url, tmp_path, loopback=True, keep_alive=0.02) as api,
        api.client() as client,
    ):
        read = Reader(api, name)
        for query in ("", "?level=ERROR"):
            job_id = await enqueue(client, {"q": query})
            recorder = await record(job_id)
            await recorder.log("noise")
            reading = read("GET", f"job/follow/{job_id}{query}")
            await api.until(lambda: len(api.service.hub) == 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), 0.3)
            await recorder.log("at last", level=40)
            await api.status(job_id, state="killed", trial=1)
            await api.log_complete(job_id)
            found = await reading
            messages = [event.data["message"] for event in found if event.type == "log"]
            assert messages == ([] if query else ["noise"]) + ["at last"]
            assert [event.type for event in found][-1] == "close"


@pytest.mark.parametrize(
    ("accept", "ids"),
    [
        (None, False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
        ("application/json", False),
        ("text/event-streams", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream ; Q = 0.000", False),
        ("text/event-stream", True),
        ("TEXT/Event-Stream; charset=utf-8", True),
        ("text/html, application/json;q=0.9,text/event-stream;q=0.1,*/*;q=0.8", True),
        ("text/event-stream;q=0.001", True),
        ("text/event-stream;q=", True),
        (", ,text/event-stream", True),
    ],
)
async def test_a_client_gets_ids_if_it_accepts_event_streams_by_name(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, accept: str | None, ids: bool
) -> None:
    job_id = await enqueue(caller)
    await live(served, await record(job_id), job_id)
    headers = {} if accept is None else {"Accept": accept}
    for path in (f"job/follow/{job_id}", f"job/log/{job_id}?follow=true"):
        text = (await caller.get(path, headers=headers)).text
        assert text.endswith("\n\n")
        for block in text[:-2].split("\n\n"):
            fields = [line.partition(": ")[0] for line in block.split("\n")]
            assert fields == (["event", "id", "data"] if ids else ["event", "data"])


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Last-Event-ID": "1"}},
        {"headers": {"Last-Event-ID": ""}},
        {"params": {"last_event_id": "1"}},
        {"params": {"last_event_id": ""}},
        {"headers": {"Accept": "text/html", "Last-Event-ID": "0"}},
    ],
)
async def test_a_client_that_resumes_gets_ids(
    served: RunningApi, caller: httpx.AsyncClient, record: Record, more: Any
) -> None:
    job_id = await enqueue(caller)
    await live(served, await record(job_id), job_id)
    assert "\nid: " in (await caller.get(f"job/follow/{job_id}", **more)).text
