"""`core4.client` against the real API, which streams from a fake API server and a real store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.ports import free_port
from tests.unit.api.conftest import DUMMY, SECRET, STARTED, Record, RunningApi, running

from core4 import __version__
from core4.client import (
    AsyncClient,
    AsyncJob,
    BadRequestError,
    Client,
    Close,
    ConflictError,
    DuplicateError,
    ForbiddenError,
    Gap,
    JobFailedError,
    Log,
    NotFoundError,
    NotSignedInError,
    Retries,
    State,
)
from corejob_journal.store import Writer
from corejob_journal.store.records import NewGap

FAST = Retries(first_pause=0.001, longest_pause=0.05)


@pytest.fixture
async def core4(served: RunningApi) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.url, user="admin", password="hans", retries=FAST) as made:
        yield made


async def ended(
    api: RunningApi, record: Record, job: AsyncJob, *messages: str, state: str = "complete"
) -> None:
    """Let a job run, log and end."""
    await api.status(job.id, **STARTED)
    recorder = await record(job.id)
    await recorder.log(*messages)
    await api.status(job.id, state=state, completionTime="2026-11-24T00:00:09Z")
    await recorder.settle()
    await api.log_complete(job.id)


async def test_a_job_from_enqueue_to_result(
    served: RunningApi, core4: AsyncClient, record: Record
) -> None:
    job = await core4.enqueue(DUMMY, {"n": 1}, sleep=2, attempts=3)
    document = await job.document()
    assert (document.id, document.qual_name, document.state) == (job.id, DUMMY, "pending")
    assert (document.args, document.attempts) == ({"n": 1, "sleep": 2}, 3)
    assert document.enqueued.username == "admin"
    assert document.enqueued.at is not None
    assert document.journal is False
    assert document.can is not None
    assert document.can["kill"]
    waiting = asyncio.create_task(job.result())
    following = asyncio.create_task(_all(job.follow()))
    await served.until(lambda: len(served.service.hub) == 2)
    await ended(served, record, job, "Grüße", "a\u2028b")
    assert (await waiting).is_complete
    events = await following
    assert [event.message for event in events if isinstance(event, Log)] == ["Grüße", "a\u2028b"]
    states = [event.state for event in events if isinstance(event, State)]
    assert (states[0], states[-1]) == ("pending", "complete")
    assert isinstance(events[-1], Close)


def _is_gone(api: RunningApi, job_id: str) -> bool:
    return api.seen(job_id) is None


async def _all(items: Any) -> list[Any]:
    return [item async for item in items]


async def test_a_failed_job_has_no_result(
    served: RunningApi, core4: AsyncClient, record: Record
) -> None:
    job = await core4.enqueue(DUMMY)
    await ended(served, record, job, state="error")
    with pytest.raises(JobFailedError, match="ended as error"):
        await job.result()


async def test_a_stream_goes_on_when_the_api_restarts(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path, record: Record
) -> None:
    events: list[Any] = []
    port = free_port()
    async with running(kube, store_url, tmp_path, loopback=True, port=port) as first:
        assert first.url is not None
        core4 = AsyncClient(first.url, user="admin", password="hans", retries=FAST)
        job = await core4.enqueue(DUMMY)
        await first.status(job.id, **STARTED)
        recorder = await record(job.id)
        await recorder.log("one", "two", gap=NewGap(3, 4, "lost"))

        async def read() -> None:
            async for event in job.follow():
                events.append(event)  # noqa: PERF401  # others look at it meanwhile

        reading = asyncio.create_task(read())
        await first.until(lambda: any(isinstance(event, Gap) for event in events))
    await recorder.log("three")
    async with running(kube, store_url, tmp_path, loopback=True, port=port) as second:
        await second.until(lambda: second.seen(job.id) is not None)
        await second.status(job.id, state="complete")
        await recorder.settle()
        await second.log_complete(job.id)
        await reading
        await core4.close()
    told = [event.message for event in events if isinstance(event, Log)]
    assert told == ["one", "two", "three"]
    assert len([event for event in events if isinstance(event, Gap)]) == 1
    assert isinstance(events[-1], Close)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"tail": 2}, ["c", "d"]),
        ({"tail": 0}, []),
        ({"tail": 99}, ["a", "b", "c", "d"]),
        ({"grep": "[bc]"}, ["b", "c"]),
        ({"grep": "[bc]", "tail": 1}, ["c"]),
        ({"level": "ERROR"}, ["d"]),
        ({"level": 40, "since": 1.0}, ["d"]),
        ({"since": "2030-01-01"}, []),
    ],
)
async def test_filters_of_a_log(
    served: RunningApi, core4: AsyncClient, record: Record, filters: Any, found: list[str]
) -> None:
    job = await core4.enqueue(DUMMY)
    await served.status(job.id, **STARTED)
    recorder = await record(job.id)
    await recorder.log("a", "b", "c")
    await recorder.log("d", level=40)
    for per_page in (1, 2, 3, 500):
        pages = job.log(per_page=per_page, **filters)
        assert [line.message async for line in pages] == found
        # A listing may be read again.
        assert [line.message async for line in pages] == found
    await served.status(job.id, state="complete")
    await recorder.settle()
    await served.log_complete(job.id)
    for states in (True, False):
        events = await _all(job.follow(states=states, **filters))
        assert [event.message for event in events if isinstance(event, Log)] == found
        assert any(isinstance(event, State) for event in events) == states


async def test_the_trials_of_a_job(served: RunningApi, core4: AsyncClient, record: Record) -> None:
    job = await core4.enqueue(DUMMY)
    first = await record(job.id)
    await first.log("a", "b", "c")
    second = await record(job.id, trial=2, pod="pod-2")
    await second.log("d")
    await first.log("late")
    await first.settle()
    ended = {"trial": 1, "state": "failed", "exitCode": 1, "pod": "pod-1", "endTime": "2026-11-24"}
    now = {"trial": 2, "state": "running", "pod": "pod-2"}
    await served.status(job.id, **{**STARTED, "trial": 2, "trials": [ended, now]})

    listed = (await job.document()).trials
    assert [(each.trial, each.state, each.exit_code) for each in listed] == [
        (1, "failed", 1),
        (2, "running", None),
    ]
    assert [(each.log_from, each.log_to) for each in listed] == [(1, 5), (4, 4)]
    for output in (None, True):
        for per_page in (1, 2, 500):
            pages = job.log(per_page=per_page, trial=1, output=output)
            assert [line.message async for line in pages] == ["a", "b", "c", "late"]
        # The job goes on.
        events = await _all(job.follow(trial=1, output=output))
        assert [event.message for event in events if isinstance(event, Log)] == [
            *("a", "b", "c", "late")
        ]
    assert [line.message async for line in job.log(trial=1, tail=2)] == ["c", "late"]


async def test_a_caller_goes_on_where_it_was(
    served: RunningApi, core4: AsyncClient, record: Record
) -> None:
    job = await core4.enqueue(DUMMY)
    await ended(served, record, job, "a", "b", "c")
    for after, found in ((0, ["a", "b", "c"]), ("000000000002", ["c"]), (3, []), (99, [])):
        events = await _all(job.follow(after=after))
        assert [event.message for event in events if isinstance(event, Log)] == found


async def test_listings_have_each_job_once(
    served: RunningApi, core4: AsyncClient, journal: Callable[[str], Awaitable[None]]
) -> None:
    ids = [(await core4.enqueue(DUMMY, n=number)).id for number in range(7)]
    for per_page in (1, 3, 7, 100):
        assert [job.id async for job in core4.queue(per_page=per_page)] == ids
    by_name = core4.queue(sort=[("_id", -1)], per_page=2)
    assert [job.id async for job in by_name] == ids[::-1]
    seen = []
    async for job in core4.queue(per_page=2, filter={"args.n": {"$ne": 6}}):
        seen.append(job.id)
        # The first jobs leave the queue while it is listed.
        if job.id == ids[1]:
            for gone in ids[:3]:
                await journal(gone)
                await served.until(partial(_is_gone, served, gone))
    assert seen == [*ids[:2], *ids[3:6]]
    assert [job.id async for job in core4.journal(per_page=2)] == ids[:3]
    assert [job.id async for job in core4.journal(name=DUMMY, username="admin")] == ids[:3]
    assert [job.id async for job in core4.journal(state=["error"])] == []
    assert [job.id async for job in core4.journal(until="2020-01-01")] == []
    by_args = core4.journal(sort=[("args.n", -1)], per_page=2)
    assert [job.id async for job in by_args] == ids[2::-1]
    pages = [page async for page in core4.queue(per_page=3).pages()]
    assert [(len(page), page.total_count) for page in pages] == [(3, 4), (1, 4)]


async def test_the_catalogue(core4: AsyncClient) -> None:
    entries = {entry.qual_name: entry async for entry in core4.jobs(per_page=1)}
    assert set(entries) == {DUMMY, SECRET}
    assert (entries[DUMMY].doc, entries[DUMMY].tag) == ("just sleeps", ("demo",))
    defaults = entries[DUMMY].properties
    assert defaults is not None
    assert defaults["attempts"] == 1
    assert [entry.qual_name async for entry in core4.jobs("Secret")] == [SECRET]


async def test_refusals(served: RunningApi, core4: AsyncClient) -> None:
    job = await core4.enqueue(DUMMY, n=1.0)
    with pytest.raises(DuplicateError) as duplicate:
        await core4.enqueue(DUMMY, n=1)
    assert duplicate.value.existing_id == job.id
    with pytest.raises(BadRequestError) as bad:
        await core4.enqueue(DUMMY, attempts=0)
    assert bad.value.field == "attempts"
    with pytest.raises(NotFoundError):
        await core4.enqueue("no.Such")
    with pytest.raises(ConflictError):
        await job.restart()
    with pytest.raises(NotFoundError):
        await core4.job("f" * 24).kill()
    with pytest.raises(NotFoundError):
        await _all(core4.job("f" * 24).follow())
    with pytest.raises(BadRequestError, match="grep"):
        await _all(job.follow(grep="("))
    with pytest.raises(TypeError, match="given twice: n"):
        await core4.enqueue(DUMMY, {"n": 1}, n=2)
    with pytest.raises(ValueError, match="24 hex digits"):
        core4.job("../../login")
    async with AsyncClient(served.url, user="reader", password="reader") as reader:
        with pytest.raises(ForbiddenError):
            await reader.job(job.id).kill()
    async with AsyncClient(served.url, user="admin", password="wrong") as stranger:
        with pytest.raises(NotSignedInError):
            await stranger.profile()


async def test_one_key_is_one_job(core4: AsyncClient) -> None:
    jobs = [await core4.enqueue(DUMMY, idempotency_key="k") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        await core4.enqueue(DUMMY, n=2, idempotency_key="k")


async def test_kill_restart_remove_without_a_pause(core4: AsyncClient) -> None:
    job = await core4.enqueue(DUMMY)
    await job.kill()
    restarted = await job.restart()
    assert restarted.id != job.id
    assert (await restarted.document()).enqueued.parent_id == job.id
    await restarted.kill()
    await restarted.remove()


async def test_a_token_is_enough(served: RunningApi, core4: AsyncClient) -> None:
    token = await core4.login("admin", "hans")
    async with AsyncClient(served.url, token=token) as by_token:
        profile = await by_token.profile()
    assert (profile.name, profile.role) == ("admin", ("admin",))
    assert profile.token_expires is not None
    assert profile.can == {"read": True, "log": True, "enqueue": True, "steer": True}
    async with AsyncClient(served.url) as nobody:
        meta = await nobody.meta()
    assert meta.version == __version__
    assert "token" in meta.sign_in


async def test_any_request(core4: AsyncClient) -> None:
    await core4.enqueue(DUMMY)
    assert (await core4.call("GET", "/jobs/history", per_page=1))["data"] == []
    answer = await core4.call("POST", "job/queue", filter={"state": "pending"})
    assert answer["total_count"] == 1


async def test_the_client_for_threads(served: RunningApi, record: Record) -> None:
    def enqueue() -> str:
        with Client(served.url, user="admin", password="hans") as core4:
            assert [entry.qual_name for entry in core4.jobs("dummy")] == [DUMMY]
            return core4.enqueue(DUMMY, n=1).id

    def follow(job_id: str) -> tuple[list[Any], list[str], str]:
        with Client(served.url, user="admin", password="hans") as core4:
            job = core4.job(job_id)
            events = list(job.follow())
            return events, [line.message for line in job.log(per_page=1)], job.result().state

    job_id = await asyncio.to_thread(enqueue)
    following = asyncio.create_task(asyncio.to_thread(follow, job_id))
    await served.until(lambda: len(served.service.hub) == 1)
    async with AsyncClient(served.url, user="admin", password="hans") as core4:
        await ended(served, record, core4.job(job_id), "a", "b")
    events, lines, state = await following
    assert [event.message for event in events if isinstance(event, Log)] == ["a", "b"] == lines
    assert state == "complete"
