"""No job can pass for another: pods and CoreJobs that only look like a job's own."""

import asyncio
from typing import Any

import pytest
from tests.support.fake_apiserver.logs import PodLog
from tests.support.waiting import until
from tests.unit.journal.conftest import JOB, Feeder, Recorder, recorder_on, source
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import done, event

from corejob import model
from corejob_journal.store import ForeignJobError, Writer
from corejob_journal.store.records import LogSource, PutDocument

DOCUMENT = {"qual_name": "a.Job", "state": "complete", "args": {"secret": 1}}


def owned(owner: str | None, *, trial: int = 1, uid: str = "uid-1") -> LogSource:
    given = source(trial=trial, uid=uid)
    return LogSource(JOB, "a.Job", "hans", trial, uid, given.pod, given.hostname, owner)


# --- the store ------------------------------------------------------------------------------


async def test_the_log_of_an_id_takes_nothing_of_another_corejob(writer: Writer) -> None:
    stream = await writer.open_stream(owned("uid-a"))
    assert await writer.open_stream(owned("uid-a")) == stream
    with pytest.raises(ForeignJobError, match=JOB):
        await writer.open_stream(owned("uid-b", uid="uid-2"))
    with pytest.raises(ForeignJobError):
        await writer.open_stream(owned("uid-b"))


async def test_a_log_of_an_earlier_version_is_its_qual_names(
    writer: Writer, feeder: Feeder
) -> None:
    await feeder.feed("line")
    other = LogSource(JOB, "b.Job", "hans", 2, "uid-2", None, None, "uid-b")
    with pytest.raises(ForeignJobError):
        await writer.open_stream(other)
    await writer.open_stream(owned("uid-a"))
    with pytest.raises(ForeignJobError):
        await writer.open_stream(owned("uid-b"))


@pytest.mark.parametrize("owner", ["uid-a", None])
async def test_the_log_of_a_past_job_takes_nothing(writer: Writer, owner: str | None) -> None:
    known = await writer.open_stream(owned("uid-a"))
    await writer.commit([PutDocument(JOB, DOCUMENT, 1.0, owner)])
    for pod in (owned("uid-a", trial=2, uid="uid-2"), owned("uid-b", uid="uid-3")):
        with pytest.raises(ForeignJobError):
            await writer.open_stream(pod)
    # A log that was opened before is read on.
    assert await writer.open_stream(owned("uid-a")) == known


async def test_the_record_of_a_past_job_is_never_replaced_by_another_jobs(
    recorder: Recorder, sqlite_url: str
) -> None:
    async def put(owner: str | None, **more: Any) -> None:
        await recorder.supervisor.commits.submit(
            [PutDocument(JOB, {**DOCUMENT, **more}, 1.0, owner)]
        )

    await put("uid-a")
    await put("uid-b", qual_name="b.Job")
    assert await recorder.store.document(JOB) == DOCUMENT
    await put("uid-a", state="killed")
    assert await recorder.store.document(JOB) == DOCUMENT | {"state": "killed"}


# --- pods -----------------------------------------------------------------------------------


async def refused(cluster: FakeCluster, recorder: Recorder, caplog: Any) -> None:
    """Wait until a pod was found not to match its labels; check that nothing of it is stored."""
    await is_told(caplog)
    assert await recorder.messages() == []
    assert cluster.log_status(JOB) == {}


async def is_told(caplog: Any) -> None:
    await asyncio.to_thread(
        until, lambda: "is not of its Jobs" in caplog.text, what="the pod is refused"
    )


@pytest.mark.parametrize(
    "owners",
    [
        pytest.param([], id="none"),
        pytest.param(
            [{"kind": "Job", "name": f"{JOB}-1", "uid": "forged", "controller": True}], id="forged"
        ),
        pytest.param(
            [{"kind": "Job", "name": "j", "uid": f"uid-of-job-{JOB}-1", "controller": True}],
            id="another name",
        ),
        pytest.param(
            [{"kind": "ReplicaSet", "name": f"{JOB}-1", "uid": "r", "controller": True}],
            id="another kind",
        ),
    ],
)
async def test_a_pod_counts_only_by_its_owners(
    cluster: FakeCluster, recorder: Recorder, caplog: Any, owners: list[dict[str, Any]]
) -> None:
    template = {"metadata": {"name": "a.job"}, "status": {"cookie": {"kept": "1"}}}
    cluster.put("corejobtemplates", template)
    await cluster.add_job(JOB)
    await cluster.add_batch_job(JOB, 1)
    log = cluster.logs["forged"] = PodLog()
    await log.write(event(1, "cookie", key="kept", value=2), event(2), *done(3))
    meta = {
        "name": "forged",
        "uid": "uid-of-the-forged",
        "labels": {"core4.io/corejob": JOB, "core4.io/trial": "1"},
        "annotations": {"core4.io/id": JOB, "core4.io/qual-name": "a.Job"},
        "ownerReferences": owners,
    }
    running = {"name": "job", "state": {"running": {"startedAt": "2026-11-24T01:00:00Z"}}}
    status = {"phase": "Running", "containerStatuses": [running]}
    spec = {"nodeName": "node-1", "containers": [{"name": "job"}]}
    cluster.put("pods", {"metadata": meta, "spec": spec, "status": status})
    await refused(cluster, recorder, caplog)
    told = cluster.objects["corejobtemplates"]["a.job"]["status"]["cookie"]
    assert told == {"kept": "1"}


async def test_a_job_of_another_corejob_does_not_make_a_pod_its_own(
    cluster: FakeCluster, recorder: Recorder, caplog: Any
) -> None:
    await cluster.add_job(JOB)
    meta = {"name": f"{JOB}-1", "uid": f"uid-of-job-{JOB}-1"}
    forged = [{"kind": "CoreJob", "name": JOB, "uid": "another", "controller": True}]
    cluster.put("jobs", {"metadata": {**meta, "ownerReferences": forged}})
    await cluster.add_pod(JOB)
    await refused(cluster, recorder, caplog)


async def test_a_pod_of_no_corejob_is_not_read(
    cluster: FakeCluster, recorder: Recorder, caplog: Any
) -> None:
    await cluster.add_pod(JOB)
    await is_told(caplog)
    assert await recorder.messages() == []


async def test_a_pod_whose_job_is_gone_is_read_while_its_log_is_missing(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), *done(2))
    cluster.remove("jobs", f"{JOB}-1")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(2)


# --- CoreJobs -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "running"])
async def test_a_corejob_with_the_id_of_a_past_job_is_refused(
    cluster: FakeCluster, recorder: Recorder, state: str
) -> None:
    put = PutDocument(JOB, DOCUMENT, 1.0, "uid-of-the-past")
    await recorder.supervisor.commits.submit([put])
    await cluster.add_job(JOB, state=state)
    if state == "running":
        log = await cluster.add_pod(JOB)
        await log.write(event(1), *done(2))
    await cluster.until(lambda: cluster.log_status(JOB).get("reason"))
    told = cluster.log_status(JOB)
    assert (told["reason"], told["complete"], told["lost"]) == ("Duplicate", True, True)
    assert JOB in told["message"]
    assert await recorder.messages() == []
    assert await recorder.store.document(JOB) == DOCUMENT


async def test_one_that_ended_before_it_was_refused_has_a_record_of_its_own(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    put = PutDocument(JOB, DOCUMENT, 1.0, "uid-of-the-past")
    await recorder.supervisor.commits.submit([put])
    await cluster.add_job(JOB, state="complete", log={"trial": 1, "complete": True})
    await cluster.until(lambda: cluster.objects["corejobs"][JOB]["status"].get("journaledTime"))
    body = cluster.objects["corejobs"][JOB]
    own = model.job_id({**body, "metadata": {**body["metadata"], "name": "x"}, "status": {}})
    assert await recorder.store.document(JOB) == DOCUMENT
    document = await recorder.store.document(own)
    assert document is not None
    assert (document["_id"], document["args"]) == (own, {})
