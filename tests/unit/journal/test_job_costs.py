"""Costs of one job: patches, log requests, transactions; and when each patch is written."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.fake_apiserver.faults import ALWAYS
from tests.support.signals import poll
from tests.unit.domain.builders import corejob_body
from tests.unit.journal.conftest import JOB, NEVER_S, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event

from corejob.model import parse
from corejob_journal.recorder.publish import timing
from corejob_journal.store import Writer
from corejob_journal.store.records import (
    Append,
    Finalise,
    Operation,
    OperationResult,
    PutDocument,
)

END = {"state": "complete", "finishTime": "2026-11-24T01:00:07Z"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let patches wait for what they are written with, however busy this machine is."""
    monkeypatch.setattr(timing, "ATTACHED_S", NEVER_S)
    monkeypatch.setattr(timing, "ATTACHED_LATEST_S", NEVER_S)
    monkeypatch.setattr(timing, "FINAL_STATE_S", NEVER_S)
    monkeypatch.setattr(timing, "SLOW_PAUSE_S", NEVER_S)
    monkeypatch.setattr(timing, "SLOW_LATEST_S", NEVER_S)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of operations for jobs in each commit that has any.

    Probes of the store and counts of the queue are left out: their number grows with time.
    """
    counted: list[int] = []
    commit = Writer.commit

    async def counting(writer: Writer, operations: Sequence[Operation]) -> list[OperationResult]:
        if count := sum(isinstance(one, Append | Finalise | PutDocument) for one in operations):
            counted.append(count)
        return await commit(writer, operations)

    monkeypatch.setattr(Writer, "commit", counting)
    return counted


def patches(cluster: FakeCluster, job_id: str = JOB) -> list[dict[str, Any]]:
    return [fields for name, fields in cluster.patches if name == job_id]


async def finalised_in_store(recorder: Recorder, job_id: str = JOB) -> None:
    async def finalised() -> bool:
        state = await recorder.store.log_state(job_id)
        return state is not None and state.finalised_trial == 1

    await recorder.until(finalised)


async def journaled(cluster: FakeCluster, *job_ids: str) -> None:
    objects = cluster.objects["corejobs"]
    await cluster.until(lambda: all("journaledTime" in objects[each]["status"] for each in job_ids))


async def run_short_job(cluster: FakeCluster, job_id: str, *lines: str) -> None:
    """Play a job up to its pod's end."""
    await cluster.add_job(job_id)
    log = await cluster.add_pod(job_id)
    await log.write(event(1), *lines, *done(2 + len(lines)))
    await cluster.end_pod(f"{job_id}-1", 0)


async def hold_logs(cluster: FakeCluster) -> asyncio.Event:
    """Let requests for logs wait until the event is set."""
    # The watch of the pods would wait too, if it had not begun.
    await poll(lambda: "pods" in cluster.watches.kinds())
    return cluster.hold("GET", "pods")


@pytest.mark.parametrize("operator", ["is slower", "is faster"])
async def test_a_short_job_costs_one_patch_and_one_log_request(
    cluster: FakeCluster, recorder: Recorder, operator: str
) -> None:
    source = event(2, "source", name="a.csv")
    progress = event(3, "progress", value=0.5, message="half")
    if operator == "is faster":
        gate = await hold_logs(cluster)
    await run_short_job(cluster, JOB, source, progress)
    log = cluster.logs[f"{JOB}-1"]
    if operator == "is faster":
        await cluster.set_job(JOB, **END)
        gate.set()
    else:
        await finalised_in_store(recorder)
        assert patches(cluster) == []
        await cluster.set_job(JOB, **END)
    await journaled(cluster, JOB)
    (fields,) = patches(cluster)
    assert fields.keys() == {"log", "progress", "sources", "sourcesDropped", "journaledTime"}
    assert (fields["log"]["trial"], fields["log"]["complete"]) == (1, True)
    assert (fields["log"]["startedTrial"], fields["log"]["lastSeq"]) == (1, 2)
    assert len(log.requests) == 1
    assert await recorder.messages() == ["line 1", CLOSING]
    document = await recorder.store.document(JOB)
    assert document is not None
    assert (document["state"], document["sources"]) == ("complete", ["a.csv"])


async def test_fifty_short_jobs_at_once_share_transactions(
    cluster: FakeCluster, recorder: Recorder, commits: list[int]
) -> None:
    ids = [f"6743{number:020x}" for number in range(50)]
    logs = []
    gate = await hold_logs(cluster)
    for job_id in ids:
        await run_short_job(cluster, job_id)
        logs.append(cluster.logs[f"{job_id}-1"])
    await cluster.until_held(len(ids))
    gate.set()
    for job_id in ids:
        await cluster.set_job(job_id, **END)
    await journaled(cluster, *ids)
    assert len(cluster.patches) == len(ids)
    assert [len(log.requests) for log in logs] == [1] * len(ids)
    # Alone, each job needs three: for its lines, their end, and its document.
    assert len(commits) < len(ids)
    for job_id in ids:
        assert await recorder.messages(job_id) == ["line 1", CLOSING]


async def test_a_job_that_lasts_is_told_to_be_read(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "ATTACHED_S", 0.05)
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB)
    await cluster.until(lambda: patches(cluster))
    assert patches(cluster) == [{"log": {"trial": 1, "complete": False}}]


async def test_each_of_many_jobs_that_begin_is_reported_later(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ["6743bbbbbbbbbbbbbbbbbbb1", "6743bbbbbbbbbbbbbbbbbbb2"]
    for job_id in (JOB, *others):
        await cluster.add_job(job_id)
        log = await cluster.add_pod(job_id)
        await log.until_asked(1)
        # The report of the first job waits, and delays those of the others.
        monkeypatch.setattr(timing, "ATTACHED_S", 0.05)
        monkeypatch.setattr(timing, "EACH_S", NEVER_S)
    await asyncio.sleep(0.2)  # without the first job, they would have been told by now
    assert cluster.patches == []
    for job_id in others:
        await cluster.end_pod(f"{job_id}-1", 0)
        await cluster.set_job(job_id, **END)
    await journaled(cluster, *others)
    assert sorted(name for name, _ in cluster.patches) == others


KILL = {"spec": {"kill": True}}
REMOVE = {"spec": {"remove": True}}
DELETE = {"metadata": {"deletionTimestamp": "2026-11-24T01:00:03Z", "finalizers": ["a/b"]}}


@pytest.mark.parametrize("stop", [KILL, REMOVE, DELETE])
@pytest.mark.parametrize("order", ["before the pod runs", "while its log is read"])
async def test_a_kill_need_not_wait_to_learn_that_the_log_is_read(
    cluster: FakeCluster, recorder: Recorder, stop: dict[str, Any], order: str
) -> None:
    await cluster.add_job(JOB)
    if order == "before the pod runs":
        cluster.change("corejobs", JOB, stop)
    log = await cluster.add_pod(JOB)
    if order == "while its log is read":
        await log.until_asked(1)
        assert patches(cluster) == []
        cluster.change("corejobs", JOB, stop)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)


async def test_the_end_of_a_killed_trial_is_told_at_once(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    cluster.change("corejobs", JOB, KILL)
    await cluster.end_pod(f"{JOB}-1", 143)
    log_status = await cluster.finalised(JOB)
    assert log_status["startedTrial"] == 1


@pytest.mark.parametrize("first", ["the watch", "a request"])
async def test_the_end_of_a_pod_that_is_being_deleted_is_told_at_once(
    cluster: FakeCluster, recorder: Recorder, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await recorder.until_count(1)
    if first == "a request":
        monkeypatch.setattr(cluster.watches, "deliver", lambda _change: None)
    cluster.change("pods", f"{JOB}-1", DELETE)
    await cluster.end_pod(f"{JOB}-1", 143)
    await cluster.finalised(JOB)


async def test_a_trial_that_failed_is_told_with_its_state(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, attempts_left=2)
    await log.write(event(1))
    await cluster.end_pod(f"{JOB}-1", 1)
    await finalised_in_store(recorder)
    assert patches(cluster) == []
    await cluster.set_job(JOB, state="failed")
    await cluster.finalised(JOB)
    assert len(patches(cluster)) == 1


async def test_a_log_is_told_to_be_complete_although_the_operator_is_away(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "FINAL_STATE_S", 0.05)
    await run_short_job(cluster, JOB)
    await cluster.finalised(JOB)


async def test_a_second_pod_of_a_finalised_trial_is_told_at_once(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB, log={"trial": 1, "complete": True})
    await cluster.add_pod(JOB)
    await cluster.until(lambda: cluster.log_status(JOB)["complete"] is False)


@pytest.mark.parametrize("died", ["before the final state", "before the patch"])
async def test_crash_while_a_patch_waits(cluster: FakeCluster, sqlite_url: str, died: str) -> None:
    """Log, sources and document are stored, and nothing of it is in the CoreJob."""
    async with recorder_on(cluster, sqlite_url) as first:
        cluster.refuse("PATCH", "corejobs", 503, times=ALWAYS)
        await run_short_job(cluster, JOB, event(2, "source", name="a.csv"))
        await finalised_in_store(first)
        if died == "before the patch":
            await cluster.set_job(JOB, **END)

            async def archived() -> bool:
                return await first.store.document(JOB) is not None

            await first.until(archived)
    assert patches(cluster) == []
    cluster.allow_all()
    await cluster.set_job(JOB, **END)
    async with recorder_on(cluster, sqlite_url) as second:
        await journaled(cluster, JOB)
        document = await second.store.document(JOB)
        assert document is not None
        assert (document["state"], document["sources"]) == ("complete", ["a.csv"])
        assert cluster.log_status(JOB)["complete"] is True
        assert cluster.objects["corejobs"][JOB]["status"]["sources"] == ["a.csv"]
        assert await second.messages() == ["line 1", CLOSING]


async def test_many_changes_while_a_patch_is_in_flight_lose_nothing(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    gate = cluster.hold("PATCH", "corejobs")
    cluster.change("corejobs", JOB, KILL)
    await cluster.until_held()
    await log.write(event(1), event(2, "source", name="a.csv"))
    await cluster.end_pod(f"{JOB}-1", 143)
    await finalised_in_store(recorder)
    gate.set()
    log_status = await cluster.finalised(JOB)
    assert log_status["lastSeq"] == 2
    await cluster.until(lambda: cluster.objects["corejobs"][JOB]["status"].get("sources"))


def test_each_of_many_jobs_is_reported_later_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    running = parse(corejob_body(status={"state": "running", "trial": 1}))
    within = [timing.attached_within(running, 1, others) for others in (0, 8, 1_000)]
    assert within == [1.0, 3.0, 30.0]
    assert [timing.slow_pause(others) for others in (0, 8, 1_000)] == [0.5, 2.5, 5.0]
