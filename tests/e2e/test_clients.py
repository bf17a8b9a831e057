"""Lines arrive as they were logged, by every stream, at all kinds of clients."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tests.e2e.original.original.jobs import WORDS
from tests.support import sse_clients
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.sse_clients import Event

pytestmark = pytest.mark.cluster

Streams = dict[tuple[str, str], list[Event]]
WAYS = ("post", "follow", "log", "past", "past log")


@pytest.fixture(scope="module")
def streams(release: Release, original: str, rest: Rest) -> Streams:
    """Streams of jobs that log the words, by way and client; all are read at once."""
    qual_name = f"{original}.WordsJob"
    job_id = rest.enqueue(qual_name)
    url = f"{release.url}/job"
    with ThreadPoolExecutor(3 * len(sse_clients.ALL)) as pool:
        reading: dict[tuple[str, str], Future[list[Event]]] = {}
        for name, read in sse_clients.ALL.items():
            body = {"qual_name": qual_name, "args": {"Ångström\u2028": name}}
            reading["post", name] = pool.submit(read, "POST", url, body)
            reading["follow", name] = pool.submit(read, "GET", f"{url}/follow/{job_id}", None)
            reading["log", name] = pool.submit(read, "GET", f"{url}/log/{job_id}?follow=true", None)
        found = {key: future.result() for key, future in reading.items()}
    rest.wait_journaled(job_id)
    for name, read in sse_clients.ALL.items():
        found["past", name] = read("GET", f"{url}/follow/{job_id}", None)
        found["past log", name] = read("GET", f"{url}/log/{job_id}", {"follow": True})
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sse_clients.ALL)
def test_every_client_gets_all_of_every_stream(streams: Streams, way: str, name: str):
    events = streams[way, name]
    records = [event.data for event in events if event.type == "log"]
    start, *words, end = [record["message"] for record in records]
    assert start == "start execution"
    assert tuple(words) == WORDS
    assert end.startswith("done execution with [complete]")
    numbers = [record["_id"] for record in records]
    assert numbers == [f"{number:012d}" for number in range(1, len(WORDS) + 3)]
    states = [event.data for event in events if event.type == "state"]
    assert bool(states) == (not way.endswith("log"))
    if way == "post":
        assert states[0]["args"] == {"Ångström\u2028": name}
    if states:
        assert states[-1]["state"] == "complete"
    assert events[-1].type == "close"
    assert events[-1].data["log"] == len(records)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sse_clients.ALL)
def test_ids_come_to_those_that_know_them(streams: Streams, way: str, name: str):
    events = streams[way, name]
    last = "000000000000"
    expected = []
    for event in events:
        last = event.data["_id"] if event.type == "log" else last
        expected.append(last if name in sse_clients.WITH_IDS else "")
    assert [event.id for event in events] == expected
