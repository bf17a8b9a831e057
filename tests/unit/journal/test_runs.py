"""Pods whose log is of several runs or containers: restarts, and init containers that fail."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.fake_apiserver.logs import PodLog
from tests.unit.journal.conftest import JOB, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event

# From a real cluster, Kubernetes 1.37.2.
RECORDED: Final = json.loads(
    (Path(__file__).parents[1] / "domain" / "recorded_pods.json").read_text("utf-8")
)
NAME: Final = f"{JOB}-1"


async def pod_like(cluster: FakeCluster, recorded: str, **changes: Any) -> PodLog:
    """Create a pod of the job with the state of a recorded pod."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    ours = cluster.objects["pods"][NAME]
    pod = json.loads(json.dumps(RECORDED[recorded]))
    cluster.put("pods", {**pod, "metadata": ours["metadata"], **changes})
    return log


async def test_the_output_of_an_init_container_that_failed_is_the_log(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    log = await pod_like(cluster, "init-fails")
    await log.write("checking", "no database")
    await log.end()
    for _ in range(2):  # the second recorder adds nothing
        async with recorder_on(cluster, sqlite_url) as recorder:
            status = await cluster.finalised(JOB)
            assert await recorder.messages() == [
                "init container [prepare] ended with exit code 3, its output:",
                "checking",
                "no database",
            ]
            assert {
                record.levelno for record in (await recorder.store.log_after(JOB, 0)).records
            } == {20}
    assert status["lost"] is False
    assert {query["container"] for query in log.requests} == {"prepare"}
    assert not any("follow" in query for query in log.requests)


async def test_a_container_called_otherwise_is_read_by_its_annotation(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    log = await pod_like(cluster, "two")
    cluster.change("pods", NAME, {"metadata": {"annotations": {"core4.io/container": "zeta"}}})
    await log.write("a line")
    await log.end()
    async with recorder_on(cluster, sqlite_url):
        await cluster.finalised(JOB)
    assert {query["container"] for query in log.requests} == {"zeta"}


def state(run: int, began: datetime, *, ended: int | None = None) -> dict[str, Any]:
    """Return the pod's status in the container's run of this number, as the kubelet reports it."""
    seconds = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    now: dict[str, Any] = {"running": {"startedAt": seconds}}
    if ended is not None:
        times = {"startedAt": seconds, "finishedAt": seconds}
        now = {"terminated": {"exitCode": ended, "reason": "Completed", **times}}
    container = {"name": "job", "restartCount": run, "state": now}
    return {"phase": "Running" if ended is None else "Succeeded", "containerStatuses": [container]}


async def run_of(cluster: FakeCluster, number: int, **more: Any) -> None:
    body = cluster.objects["pods"][NAME]
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {
        "nodeName": "node-1",
        "containers": [{"name": "job", "restartPolicy": "Never", "restartPolicyRules": rules}],
    }
    began = datetime.now(UTC)
    cluster.put("pods", {**body, "spec": spec, "status": state(number, began, **more)})


async def restarted(cluster: FakeCluster, log: PodLog, number: int) -> PodLog:
    """End the container's run and start the next one."""
    new = PodLog()
    new._clock = log._clock
    new.previous = log
    cluster.logs[NAME] = new
    await run_of(cluster, number)
    await log.end()
    return new


@pytest.mark.parametrize("while_down", [False, True])
async def test_the_runs_of_a_container_that_is_restarted_are_one_log(
    cluster: FakeCluster, sqlite_url: str, while_down: bool
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await run_of(cluster, 0)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write("one", "two")
        await recorder.until_count(2)
        if not while_down:
            await log.write("three")
            new = await restarted(cluster, log, 1)
            await new.write("four")
            await recorder.until_count(4)
    if while_down:
        await log.write("three")
        new = await restarted(cluster, log, 1)
        await new.write("four")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await new.write("five")
        await recorder.until_count(5)
        await run_of(cluster, 1, ended=0)
        await new.end()
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == ["one", "two", "three", "four", "five"]
    assert status["lost"] is False


async def test_runs_that_nobody_has_any_more_are_named(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("second")
    new = await restarted(cluster, log, 2)
    await new.write("third")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(2)
        await run_of(cluster, 2, ended=0)
        await new.end()
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == ["second", "third"]
    assert (status["lost"], status["reason"]) == (True, "Restarted")
    assert status["message"] == (
        "the log of the first run of the container is gone: it was restarted"
    )


async def test_a_run_before_that_can_t_be_had_is_named(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB, runtime="container")
    new = PodLog()
    cluster.logs[NAME] = new
    await run_of(cluster, 1)
    await new.write("second")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(1)
        await run_of(cluster, 1, ended=0)
        await new.end()
        status = await cluster.finalised(JOB)
    assert (status["lost"], status["reason"]) == (True, "Restarted")
    assert "the container was restarted, and 400 BadRequest: previous" in status["message"]


async def test_a_restart_long_ago_is_not_asked_for_again(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("first")
    new = await restarted(cluster, log, 1)
    body = cluster.objects["pods"][NAME]
    long_ago = datetime.now(UTC) - timedelta(seconds=10)
    cluster.put("pods", {**body, "status": state(1, long_ago)})
    await new.write("second")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(2)
        before = len(log.requests)
        await new.drop()
        await new.write("third")
        await recorder.until_count(3)
        assert len(log.requests) == before


async def test_the_end_of_a_run_is_not_that_of_a_container_that_may_be_restarted(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="core4")
    await run_of(cluster, 0)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(event(1), *done(2))
        await recorder.until_count(2)
        new = await restarted(cluster, log, 1)
        await new.write(event(1), event(2))
        await recorder.until_count(4)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await new.write(event(3))
        await recorder.until_count(5)
        await run_of(cluster, 1, ended=137)
        await new.end()
        status = await cluster.finalised(JOB)
        *messages, last = await recorder.messages()
    first = ["line 1", CLOSING]
    assert messages == [*first, "line 1", "line 2", "line 3"]
    # The second run had no time to write its end.
    assert last.startswith("done execution with [")
    assert status["lost"] is False
