"""Progress, sources, cookies, and past jobs."""

import asyncio
from typing import Any

import pytest
from tests.support.fake_apiserver.faults import ALWAYS, ANY
from tests.unit.journal.conftest import JOB, OTHER, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event


def progress(n: int, value: float) -> str:
    return event(n, "progress", value=value, message=f"at {value}")


def status(cluster: FakeCluster, job_id: str = JOB) -> dict[str, Any]:
    return dict(cluster.objects["corejobs"][job_id]["status"])


async def test_progress_reaches_the_status(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(progress(1, 0.25))
    await cluster.until(lambda: status(cluster).get("progress"))
    told = status(cluster)["progress"]
    assert (told["value"], told["percent"], told["message"]) == (0.25, "25%", "at 0.25")


async def test_progress_is_conflated_and_the_latest_wins(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)
    gate = cluster.hold("PATCH", "corejobs")
    await log.write(*[progress(n, n / 100) for n in range(1, 51)], event(51))
    await recorder.until_count(1)
    await log.write(*[progress(n, n / 100) for n in range(52, 100)], event(100), *done(101))
    await recorder.until_count(3)
    gate.set()
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.finalised(JOB)
    # The trial completed, so the progress is 1.0 instead of the last report of 0.99.
    assert status(cluster)["progress"]["value"] == 1.0
    sent = [fields for _, fields in cluster.patches if "progress" in fields]
    assert len(sent) <= 3


async def test_patch_is_tried_again(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    for code in (503, 429, 409):
        cluster.refuse("PATCH", "corejobs", code)
    await cluster.add_pod(JOB)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)


async def test_progress_of_an_older_trial_is_dropped(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB, trial=2)
    old = await cluster.add_pod(JOB, trial=1)
    new = await cluster.add_pod(JOB, trial=2)
    await new.write(progress(1, 0.5))
    await cluster.until(lambda: status(cluster).get("progress"))
    await old.write(progress(1, 0.9), event(2))
    await recorder.until_count(1)
    await new.write(event(2, "source", name="file.csv"))
    await cluster.until(lambda: status(cluster).get("sources"))
    assert status(cluster)["progress"]["value"] == 0.5


async def test_sources_are_gathered(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB, sources=["old.csv"])
    log = await cluster.add_pod(JOB)
    lines = [event(n, "source", name=f"{n % 2}.csv") for n in range(1, 5)]
    await log.write(*lines)
    await cluster.until(lambda: len(status(cluster)["sources"]) == 3)
    assert status(cluster)["sources"] == ["old.csv", "1.csv", "0.csv"]


async def test_cookies_are_kept(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(
        event(1, "cookie", key="a", value={"deep": [1, None]}),
        event(2, "cookie", key="b", value=1),
        event(3, "cookie", key="b", value=None),
        event(4),
    )
    await recorder.until_count(1)
    assert await recorder.store.cookies("a.Job") == {"a": {"deep": [1, None]}}


def cookie_of(cluster: FakeCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.objects["corejobtemplates"]["a.job"]["status"]["cookie"]
    return found


@pytest.mark.parametrize("died", ["while it ran", "when it had ended", "and the pod is gone"])
async def test_crash_between_the_store_and_the_template(
    cluster: FakeCluster, sqlite_url: str, died: str
) -> None:
    """The cookie is stored but not in the template: the next recorder writes it there."""
    template = {"metadata": {"name": "a.job"}, "status": {"cookie": {"old": "1", "kept": "1"}}}
    cluster.put("corejobtemplates", template)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(
            event(1, "cookie", key="old", value=1), event(2, "cookie", key="kept", value=1)
        )
        await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)
        cluster.refuse("PATCH", ANY, 503, times=ALWAYS)
        await log.write(
            event(3, "cookie", key="old", value=None), event(4, "cookie", key="kept", value=2)
        )
        if died != "while it ran":
            await log.write(*done(5))
            await cluster.end_pod(f"{JOB}-1", 0)
        last = {"kept": 2}

        async def stored() -> bool:
            state = await recorder.store.log_state(JOB)
            over = state is not None and state.finalised_trial == 1
            known = await recorder.store.cookies("a.Job") == last
            return known and (over or died == "while it ran")

        await recorder.until(stored)
    assert cookie_of(cluster) == {"old": "1", "kept": "1"}
    cluster.allow_all()
    if died == "while it ran":
        await log.write(*done(5))
        await cluster.end_pod(f"{JOB}-1", 0)
    if died == "and the pod is gone":
        cluster.remove("pods", f"{JOB}-1")
    await cluster.set_job(JOB, state="complete")
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: cluster.log_status(JOB).get("complete"))
        assert cookie_of(cluster) == {"kept": "2"}


async def test_past_job_is_journaled(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), progress(2, 0.5), *done(3))
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.finalised(JOB)
    assert await recorder.store.document(JOB) is None
    await cluster.set_job(JOB, state="complete", finishTime="2026-11-24T01:00:07Z")
    await cluster.until(lambda: "journaledTime" in status(cluster))
    document = await recorder.store.document(JOB)
    assert document is not None
    assert (document["_id"], document["state"]) == (JOB, "complete")
    assert document["finished_at"] == "2026-11-24T01:00:07"


async def test_journal_waits_for_the_log(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await recorder.until_count(1)
    await cluster.set_job(JOB, state="complete")
    # A job that needs no logs overtakes it.
    await cluster.add_job(OTHER, state="killed", trial=0, removedTime="2026-11-24T01:00:00Z")
    await cluster.set_job(OTHER)
    body = cluster.objects["corejobs"][OTHER]
    cluster.put("corejobs", {**body, "spec": {**body["spec"], "remove": True}})
    await cluster.until(lambda: "journaledTime" in status(cluster, OTHER))
    assert "journaledTime" not in status(cluster)
    await log.write(*done(2))
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.until(lambda: "journaledTime" in status(cluster))
    assert await recorder.messages() == ["line 1", CLOSING]


async def test_recorder_was_down_at_the_end(cluster: FakeCluster, sqlite_url: str) -> None:
    """A finished pod that still exists is read completely, then the job is archived."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), *done(2))
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.set_job(JOB, state="complete")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await cluster.until(lambda: "journaledTime" in status(cluster))
        assert await recorder.messages() == ["line 1", CLOSING]


async def test_crash_between_the_store_and_the_status(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    """The log is finalised in the store but not in the CoreJob: the next recorder writes that."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)
        gate = cluster.hold("PATCH", "corejobs")
        await log.write(event(1), *done(2))
        await cluster.end_pod(f"{JOB}-1", 0)

        async def finalised() -> bool:
            state = await recorder.store.log_state(JOB)
            return state is not None and state.finalised_trial == 1

        await recorder.until(finalised)
        cluster.objects["corejobs"][JOB]["status"]["state"] = "complete"
    cluster.served.clear()
    gate.set()
    body = cluster.objects["corejobs"][JOB]
    body["status"]["log"] = {"trial": 1, "complete": False}
    cluster.put("corejobs", body)
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: "journaledTime" in status(cluster))
    assert cluster.log_status(JOB)["lastSeq"] == 2


async def test_many_jobs_at_a_time(cluster: FakeCluster, recorder: Recorder) -> None:
    ids = [f"6743{number:020x}" for number in range(50)]
    logs = []
    for job_id in ids:
        await cluster.add_job(job_id)
        logs.append(await cluster.add_pod(job_id))
    for n in range(1, 21):
        await asyncio.gather(*(log.write(event(n)) for log in logs))
    for job_id, log in zip(ids, logs, strict=True):
        await log.write(*done(21))
        await cluster.end_pod(f"{job_id}-1", 0)
    for job_id in ids:
        await cluster.finalised(job_id)
    expected = [f"line {n}" for n in range(1, 21)] + [CLOSING]
    for job_id in ids:
        assert await recorder.messages(job_id) == expected


async def test_a_later_trial_counts_as_complete_once_those_before_it_are_settled(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    """The pod of a trial whose log is still being read must not be deleted."""
    await cluster.add_job(JOB, trial=2)
    old = await cluster.add_pod(JOB, trial=1)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)
    new = await cluster.add_pod(JOB, trial=2)
    await new.write(event(1), *done(2))
    await cluster.end_pod(f"{JOB}-2", 0)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 2)
    await recorder.until_count(2)
    assert cluster.log_status(JOB)["complete"] is False
    await old.write(event(1), *done(2))
    await cluster.end_pod(f"{JOB}-1", 1)
    await cluster.until(lambda: cluster.log_status(JOB)["complete"])
    assert cluster.log_status(JOB)["trial"] == 2
