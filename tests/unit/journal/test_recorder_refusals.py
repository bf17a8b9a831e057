"""A log that the kubelet refuses for a while is read on; one that it keeps refusing is lost."""

import pytest
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import JOB, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event, texts
from tests.unit.journal.test_runs import restarted, run_of

from corejob_journal.recorder.ingest import attempts, refusals, unreadable
from corejob_journal.recorder.ingest.reading import LogGoneError
from corejob_journal.recorder.ingest.refusals import Refusals, is_refusal
from corejob_kube.errors import for_status

NO_LOG = "unable to retrieve container logs for containerd://abc"
"""The kubelet's answer for any error of the container runtime, also while that is restarted."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_BACKOFF_MOST_UNREAD", 0.1)
    monkeypatch.setattr(unreadable, "_AFTER_S", 0.3)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_LEAST_S", 0.0)


def test_a_log_is_lost_after_many_refusals_over_a_minute() -> None:
    log = Refusals()
    assert not any(log.add(100.0 + n) for n in range(50))
    assert log.add(160.0)
    log.reset()
    assert not any(log.add(200.0 + 50 * n) for n in range(7))
    assert log.add(550.0)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (LogGoneError(NO_LOG), True),
        (for_status(404, "NotFound", "no pod"), True),
        (for_status(400, "BadRequest", "container is terminated"), True),
        (for_status(503, "Kubelet", "open /x: no such file or directory"), True),
        (for_status(503, "Kubelet", "input/output error"), False),
        (for_status(403, "Forbidden", "no"), False),
    ],
)
def test_only_the_word_that_there_is_no_log_is_a_refusal(error: Exception, refused: bool) -> None:
    assert is_refusal(error) is refused


async def test_a_container_runtime_that_is_away_for_a_while_ends_no_log(
    cluster: FakeCluster, recorder: Recorder, impatient: None
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), event(2))
    await recorder.until_count(2)
    log.words = NO_LOG
    await log.drop()
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
    assert NO_LOG in cluster.log_status(JOB)["message"]
    # The container runs, so the number of refusals is of no matter.
    await log.until_asked(len(log.requests) + 10)
    log.words = ""
    await log.write(*[event(n) for n in range(3, 6)], *done(6))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 5), CLOSING]
    assert (status["lost"], status.get("reason")) == (False, None)


async def test_an_ended_log_that_is_refused_for_a_while_is_read_on(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    """A restarting kubelet knows no pods for longer than eight requests take."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await recorder.until_count(1)
    log.refusal = (404, 'pod "x" does not exist')
    await log.drop()
    await log.write(event(2), *done(3))
    await cluster.end_pod(f"{JOB}-1", 0)
    await log.until_asked(20)
    log.refusal = None
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 2), CLOSING]
    assert status["lost"] is False


async def test_a_log_that_was_read_to_its_end_is_whole_though_its_container_is_removed(
    cluster: FakeCluster, recorder: Recorder, impatient: None
) -> None:
    """The kubelet removes a container before its pod is gone from the API server."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write(*texts(1, 2))
    await recorder.until_count(2)
    log.words = NO_LOG
    await cluster.end_pod(f"{JOB}-1", 137)
    status = await cluster.finalised(JOB)
    assert status["lost"] is False


async def test_the_previous_run_that_is_refused_for_a_while_is_read(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("one", "two")
    new = await restarted(cluster, log, 1)
    await new.write("three")
    log.words = new.words = NO_LOG
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.until_asked(5)
        log.words = new.words = ""
        await recorder.until_count(3)
        await run_of(cluster, 1, ended=0)
        await new.end()
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == ["one", "two", "three"]
    assert status["lost"] is False


@pytest.mark.parametrize("lines", [["two"], []])
async def test_the_previous_run_whose_container_was_removed_is_named_at_once(
    cluster: FakeCluster, sqlite_url: str, lines: list[str]
) -> None:
    """The runtime has the log of the present run, so it works: no minute of refusals is needed."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("one")
    new = await restarted(cluster, log, 1)
    await new.write(*lines)
    log.words = NO_LOG
    await run_of(cluster, 1, ended=0)
    await new.end()
    async with recorder_on(cluster, sqlite_url) as recorder:
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == lines
    assert (status["lost"], status["reason"]) == (True, "Restarted")


async def test_the_previous_run_that_is_always_refused_is_lost_in_the_end(
    cluster: FakeCluster, sqlite_url: str, impatient: None
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("one")
    new = await restarted(cluster, log, 1)
    log.words = new.words = NO_LOG
    await run_of(cluster, 1, ended=0)
    await new.end()
    async with recorder_on(cluster, sqlite_url):
        status = await cluster.finalised(JOB)
    assert status["lost"] is True
    # Once it is named as lost, it is not requested again with each request for the present run.
    requests = [*log.requests, *new.requests]
    assert sum("previous" in query for query in requests) == 8


async def test_a_log_that_breaks_at_the_same_place_is_reported_and_read_once_it_can_be(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad block of the node's disk: each reading repeats the lines before it."""
    # However long the lines and the error text after them take to arrive.
    monkeypatch.setattr(attempts, "_ERROR_TEXT_WITHIN_S", DEADLINE)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.no_watcher = 'failed to read log file "/x": read /x: input/output error'
    await log.write("line 1", "line 2")
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
    assert "input/output error" in cluster.log_status(JOB)["message"]
    before = len(log.requests)
    await log.until_asked(before + 5)
    assert cluster.log_status(JOB)["reason"] == "Unreadable"
    log.no_watcher = ""
    await log.write("line 3")
    await recorder.until_count(3)
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") is None)
    assert await recorder.messages() == texts(1, 3)
