"""Pods whose log can't be followed: tried again at a bounded rate, and reported."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.support.signals import DEADLINE, poll
from tests.unit.journal.conftest import JOB, NEVER_S, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_parts import _CHILD
from tests.unit.journal.test_recorder_following import CLOSING, done, event
from tests.unit.journal.test_unreadable import job_id

from corejob_journal.recorder.ingest import failing, intake, unreadable
from corejob_journal.recorder.ingest.failing import FailingPods
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.retries import BURST, Retries
from corejob_journal.recorder.ingest.unreadable import Unreadable
from corejob_journal.recorder.publish import cookies
from corejob_journal.store import StoreUnavailable


@pytest.fixture(autouse=True)
def quickly_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "_AFTER_S", 0.3)
    monkeypatch.setattr(failing, "_FIRST_S", 0.1)
    monkeypatch.setattr(failing, "_MOST_S", 0.2)


def pod(number: int) -> JobPod:
    child = replace(_CHILD, uid=str(number))
    return JobPod(child, source=None, container="job", core4=False, attempts_left=1)  # type: ignore[arg-type]


class Timers:
    """A loop whose timers are only recorded."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Any, tuple[Any, ...]]] = []

    def call_later(self, seconds: float, call: Any, *arguments: Any) -> asyncio.TimerHandle:
        self.set.append((seconds, call, arguments))
        return cast("asyncio.TimerHandle", self)

    def cancel(self) -> None:
        """Do nothing."""


def test_each_failure_waits_longer_and_all_share_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    timers = Timers()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: timers)
    again: list[str] = []
    pods = FailingPods(
        Retries(now=lambda: 1000.0),
        again=lambda one: again.append(one.uid),
        unreadable=lambda _pod: Unreadable(lambda _problem: None, reported=False),
        lasts=lambda _uid: None,
    )
    pauses = []
    for _ in range(9):
        pods.failed(pod(0), "no")
        pauses.append(timers.set[-1][0])
    assert 0.5 <= pauses[0] <= 1.0
    assert pauses[-1] >= 30.0
    for number in range(3 * BURST):
        pods.failed(pod(number), "no")
        _, due, arguments = timers.set[-1]
        due(*arguments)
    waits = [seconds for seconds, call, _ in timers.set if call == pods._again]
    assert sum(wait > 0 for wait in waits) >= 2 * BURST - 1
    assert max(waits) >= 1.9
    assert not again
    pods.close()
    assert not pods.holds("0")


async def test_owners_that_cant_be_looked_up_are_asked_for_less_and_less_and_reported(
    cluster: FakeCluster, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(5):
        await cluster.add_job(job_id(number))
        log = await cluster.add_pod(job_id(number))
        await log.write(event(1), *done(2))
    cluster.refuse("GET", "jobs", 429, "too many", reason="TooManyRequests", times=10**9)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await cluster.until(
            lambda: all(
                cluster.log_status(job_id(number)).get("reason") == "Unreadable"
                for number in range(5)
            )
        )
        registry = recorder.supervisor.metrics.registry
        assert registry.get_sample_value("core4_recorder_unreadable_logs") == 5
        assert "its CoreJob can't be looked up" in cluster.log_status(job_id(3))["message"]
        assert any("can't be looked up" in record.message for record in caplog.records)
        cluster.allow_all()
        for number in range(5):
            await recorder.until_count(2, job_id(number))
        await cluster.until(
            lambda: not any(cluster.log_status(job_id(n)).get("reason") for n in range(5))
        )
        assert registry.get_sample_value("core4_recorder_unreadable_logs") == 0


async def test_a_stranger_s_pod_whose_owner_cant_be_looked_up_changes_no_status(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB, trial=7)
    cluster.refuse("GET", "jobs", 429, "too many", reason="TooManyRequests", times=10**9)
    async with recorder_on(cluster, sqlite_url) as recorder:
        registry = recorder.supervisor.metrics.registry
        metric = "core4_recorder_unreadable_logs"
        await poll(lambda: registry.get_sample_value(metric) == 1)
    assert cluster.log_status(JOB) == {}


async def take(_self: LineSequence, _lines: Any) -> None:
    raise RuntimeError("a bug")


async def test_a_follower_that_fails_again_and_again_is_reported_until_it_stores(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    with monkeypatch.context() as patches:
        patches.setattr(LineSequence, "take", take)
        await log.write(event(1))
        await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
        assert "RuntimeError('a bug')" in cluster.log_status(JOB)["message"]
        await log.until_asked(len(log.requests) + 3)
        assert cluster.log_status(JOB)["reason"] == "Unreadable"
    await recorder.until_count(1)
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") is None)
    await log.write(*done(2))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == ["line 1", CLOSING]
    assert status["lost"] is False


def reason(recorder: Recorder) -> Any:
    """Return `status.log.reason` of the job as it will be written next."""
    body = recorder.supervisor._status.overlay(recorder.supervisor.jobs.get(JOB) or {})
    return ((body.get("status") or {}).get("log") or {}).get("reason")


async def unwritten(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Event:
    """Let followers fail until one fails after the report; return what holds the report back."""
    monkeypatch.setattr(LineSequence, "take", take)
    monkeypatch.setattr(unreadable, "_REPEAT_S", NEVER_S)
    await cluster.add_job(JOB)
    gate = cluster.hold("PATCH", "corejobs")
    log = await cluster.add_pod(JOB)
    await cluster.until_held()  # by the report that the log is read
    await log.write(event(1))
    await poll(lambda: reason(recorder) == "Unreadable")
    # The follower of the first of these two requests has failed before the second.
    await log.until_asked(len(log.requests) + 2)
    return gate


async def test_the_report_that_followers_fail_outlasts_them(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = await unwritten(cluster, recorder, monkeypatch)
    gate.set()
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")


async def test_the_report_that_followers_fail_is_dropped_with_the_job(
    cluster: FakeCluster, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner may have written the end of the log, which the report would take back."""
    async with recorder_on(cluster, sqlite_url) as recorder:
        gate = await unwritten(cluster, recorder, monkeypatch)
        await poll(lambda: not recorder.supervisor._followers)
        monkeypatch.setattr(recorder.supervisor.membership, "owns", lambda _key: False)
        recorder.supervisor._redistribute()
        gate.set()
    assert cluster.log_status(JOB) == {"trial": 1, "complete": False}
    assert recorder.supervisor._failing.pods == []


async def test_a_follower_takes_back_what_one_before_it_is_about_to_report(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_well, failures = LineSequence.take, [RuntimeError("a bug")]

    async def fail_once(sequence: LineSequence, lines: Any) -> None:
        if failures:
            raise failures.pop()
        await take_well(sequence, lines)

    monkeypatch.setattr(LineSequence, "take", fail_once)
    await cluster.add_job(JOB)
    gate = cluster.hold("PATCH", "corejobs")
    log = await cluster.add_pod(JOB)
    log.refusal = (503, "away")
    await poll(lambda: reason(recorder) == "Unreadable")
    log.refusal = None
    await log.write(event(1))
    await recorder.until_count(1)
    await poll(lambda: reason(recorder) is None)
    gate.set()
    await cluster.until(lambda: cluster.log_status(JOB).get("lines") == 1)
    assert cluster.log_status(JOB).get("reason") is None


async def test_a_template_that_cant_be_read_ends_no_follower(
    cluster: FakeCluster, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cookies, "_WITHIN_S", 0.2)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(event(1))
        await recorder.until_count(1)
    cluster.refuse("GET", "corejobtemplates", 503, "overloaded", times=10**9)
    before = len(log.requests)
    async with recorder_on(cluster, sqlite_url):
        await log.write(*done(2))
        await cluster.end_pod(f"{JOB}-1", 0)
        status = await cluster.finalised(JOB)
    assert status["lost"] is False
    assert sum("timestamps" in query for query in log.requests[before:]) == 1


async def test_full_logs_share_the_rate_of_their_looks_while_the_store_is_away(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_LOOK_S", 0.05)
    slots: list[int] = []
    taken = asyncio.Event()

    def slot(_self: Retries) -> float:
        slots.append(sum("limitBytes" in query for query in log.requests))
        taken.set()
        return 3600.0

    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("a")
    await recorder.until_count(1)

    async def away(_operations: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patches:
        patches.setattr(recorder.supervisor.commits._writer, "commit", away)
        patches.setattr(Retries, "slot", slot)
        await log.write("b")
        await log.write(*["x" * 300] * 6000)
        async with asyncio.timeout(DEADLINE):
            await taken.wait()
    began = asyncio.get_running_loop().time()
    await recorder.until_count(6002)
    lasted = asyncio.get_running_loop().time() - began
    assert len(slots) == 1
    # Each second it may look once while it is late.
    assert sum("limitBytes" in query for query in log.requests) <= slots[0] + 1 + lasted
