"""Lines that can't be read are reported, in the store and in the CoreJob's status."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.fake_apiserver.logs import stamp_text
from tests.unit.journal.conftest import JOB, Feeder, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import CLOSING, done, event, texts

from corejob_journal.recorder.ingest import attempts, followed_pod, refusals, rotation
from corejob_journal.store import Writer
from corejob_journal.store.records import (
    Finalise,
    LogPosition,
    LogSource,
    Operation,
    OperationResult,
)

KILLED = "done execution with [killed] after [7] sec."


async def test_gap_is_read_again(cluster: FakeCluster, recorder: Recorder) -> None:
    """A connection left lines out: reading again without a start time delivers them."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    log.hidden = {1, 2}
    await log.write(*[event(n) for n in range(1, 5)], *done(5))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 4), CLOSING]
    assert status["lost"] is False


async def test_numbers_that_are_gone_are_named(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), event(5), event(6), event(8), *done(9))
    await recorder.until_count(5)
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == ["line 1", "line 5", "line 6", "line 8", CLOSING]
    assert (status["lost"], status["reason"]) == (True, "LinesMissing")
    assert status["message"] == (
        "lines 2 to 4 are gone from the pod's log; line 7 is gone from the pod's log"
    )
    gaps = await recorder.store.gaps(JOB)
    assert [(gap.after_seq, gap.first_n, gap.last_n) for gap in gaps] == [(1, 2, 4), (3, 7, 7)]
    # Each gap is read again once, without a start time.
    rereads = [query for query in log.requests if not query.keys() & {"follow", "sinceTime"}]
    assert len(rereads) == 2
    assert not any("sinceTime" in query for query in rereads)


def told(lines: object) -> str:
    return json.dumps({"state": "complete", "lines": lines})


async def after_two_lines(cluster: FakeCluster, message: str) -> dict[str, Any]:
    """End a pod that has written two lines; return `status.log` of its job."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), event(2))
    await cluster.end_pod(f"{JOB}-1", 0, message=message)
    return await cluster.finalised(JOB)


@pytest.mark.parametrize(
    ("last", "first_n", "words"),
    [(3, 3, "line 3 is missing at the log's end"), (9, 3, "lines 3 to 9 are missing")],
)
async def test_last_lines_that_the_container_runtime_dropped_are_named(
    cluster: FakeCluster, recorder: Recorder, last: int, first_n: int, words: str
) -> None:
    status = await after_two_lines(cluster, told(last))
    assert await recorder.messages() == [*texts(1, 2), CLOSING]
    assert (status["lost"], status["reason"]) == (True, "Truncated")
    assert status["message"].startswith(words)
    gaps = await recorder.store.gaps(JOB)
    assert [(gap.after_seq, gap.first_n, gap.last_n) for gap in gaps] == [(2, first_n, last)]


async def test_all_lines_of_a_log_that_could_not_be_kept_are_named(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB)
    await cluster.end_pod(f"{JOB}-1", 0, message=told(4))
    status = await cluster.finalised(JOB)
    assert (status["lost"], status["reason"]) == (True, "Truncated")
    (gap,) = await recorder.store.gaps(JOB)
    assert (gap.after_seq, gap.first_n, gap.last_n) == (0, 1, 4)


@pytest.mark.parametrize(
    "message", [told(2), told(1), told(0), told(-3), told(True), told("9"), told(2**62), "{", ""]
)
async def test_a_number_that_can_not_be_the_last_one_names_nothing(
    cluster: FakeCluster, recorder: Recorder, message: str
) -> None:
    assert (await after_two_lines(cluster, message))["lost"] is False


async def test_lines_without_numbers_are_not_compared_with_a_number(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("a line")
    await cluster.end_pod(f"{JOB}-1", 0, message=told(9))
    assert (await cluster.finalised(JOB))["lost"] is False


async def test_pod_gone_before_its_log_was_read(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB, state="killed")
    status = await cluster.finalised(JOB)
    assert (status["lost"], status["reason"]) == (True, "PodGone")
    assert "the pod was gone before its log could be read" in status["message"]
    state = await recorder.store.log_state(JOB)
    assert state is not None
    assert (state.finalised_trial, state.lost) == (1, True)


async def test_pod_deleted_while_the_connection_was_down(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), event(2))
    await recorder.until_count(2)
    log.refusal = (503, "away")
    await log.drop()
    cluster.remove("pods", f"{JOB}-1")
    status = await cluster.finalised(JOB)
    *lines, end = await recorder.messages()
    assert lines == texts(1, 2)
    assert end.startswith("done execution with [killed] after [")
    assert (status["lost"], status["reason"]) == (True, "PodGone")
    assert status["message"].startswith("lines after line 2 may be missing")


async def test_kubelet_has_no_log_any_more(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_LEAST_S", 0.0)
    monkeypatch.setattr(attempts, "_BACKOFF_MOST_UNREAD", 0.1)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.words = "unable to retrieve container logs for containerd://abc"
    await log.drop()
    await cluster.end_pod(f"{JOB}-1", 137)
    status = await cluster.finalised(JOB)
    assert (status["lost"], status["reason"]) == (True, "LogRefused")
    assert "unable to retrieve container logs" in status["message"]


async def test_pod_deleted_after_its_log_ended_in_good_order(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    """A kill: the stream ends with the container, and the pod is gone immediately."""
    await cluster.add_job(JOB, spec={"kill": True})
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await recorder.until_count(1)
    await log.write(event(2))
    cluster.remove("pods", f"{JOB}-1")
    await log.end()
    await cluster.until(lambda: cluster.log_status(JOB).get("complete"))
    *lines, end = await recorder.messages()
    assert lines == texts(1, 2)
    assert end.startswith("done execution with [killed] after [")
    assert cluster.log_status(JOB)["lost"] is False


async def test_kubelet_that_knows_no_pod_for_a_moment(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    """The kubelet has just restarted: its 404 is not the API server's."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await recorder.until_count(1)
    log.refusal = (404, "the server could not find the requested resource")
    await log.drop()
    await log.until_asked(3)
    log.refusal = None
    await log.write(event(2), *done(3))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 2), CLOSING]
    assert status["lost"] is False


async def test_last_line_without_an_end_of_a_pod_deleted_at_once(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB, spec={"kill": True})
    log = await cluster.add_pod(JOB, runtime="container")
    log.open_end = True
    await log.write("line 1", "line 2")
    await recorder.until_count(1)
    cluster.remove("pods", f"{JOB}-1")
    await log.end()
    await cluster.until(lambda: cluster.log_status(JOB).get("complete"))
    assert await recorder.messages() == texts(1, 2)
    assert cluster.log_status(JOB)["lost"] is False


async def test_refusal_between_a_log_s_good_end_and_its_pod_s_deletion(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB, spec={"kill": True})
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write(*texts(1, 2))
    await recorder.until_count(2)
    log.refusal = (400, "container is terminated")
    await cluster.end_pod(f"{JOB}-1", 137)
    await log.until_asked(3)
    cluster.remove("pods", f"{JOB}-1")
    await cluster.until(lambda: cluster.log_status(JOB).get("complete"))
    assert await recorder.messages() == texts(1, 2)
    assert cluster.log_status(JOB)["lost"] is False


async def test_lines_that_the_runtime_writes_after_the_container_s_end(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an overloaded node a container may be reported as ended before its log is written."""
    monkeypatch.setattr(followed_pod, "_FLUSH_HALF_S", 1.0)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.open_end = True
    await log.write("line 1", "li")
    await cluster.end_pod(f"{JOB}-1", 0)
    await log.until_served(1)
    log.open_end = False
    log.lines[-1] = (log.lines[-1][0], b"line 2")
    await log.write("line 3")
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == texts(1, 3)
    assert status["lost"] is False


async def test_rotation_just_before_the_container_s_end(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    """The kubelet ends the stream with the old file: the newest one is read after it."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write(*texts(1, 3))
    await recorder.until_count(3)
    log.hidden = {3, 4}
    log.first = 3
    await log.write(*texts(4, 5))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert ["follow" in query for query in log.requests[:2]] == [True, False]
    assert await recorder.messages() == texts(1, 5)
    assert status["lost"] is False


async def test_file_that_was_rotated_away_unread(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lagging connection continues with the newest file, and skips the one between."""
    monkeypatch.setattr(rotation, "LAG_S", -1.0)
    monkeypatch.setattr(rotation, "_LOOK_EVERY_S", 0.0)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.hidden = {3, 4}
    await log.write("line 1")
    await recorder.until_count(1)
    log.first = 3
    looks = len(log.requests)
    await log.write(*texts(2, 5))
    await log.until_asked(looks + 1)
    assert "limitBytes" in log.requests[looks]
    await recorder.until_count(3)
    log.first = 5
    await log.write("line 6", after=2 * 10**9)
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 3), "line 6"]
    assert (status["lost"], status["reason"]) == (True, "Rotated")
    assert "faster than it could be read" in status["message"]
    (gap,) = await recorder.store.gaps(JOB)
    assert gap.after_seq == 3


async def test_rotation_while_the_recorder_was_down(cluster: FakeCluster, sqlite_url: str) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(*texts(1, 5))
        await recorder.until_count(5)
    await log.write(*texts(6, 20))
    log.first = 10
    await cluster.end_pod(f"{JOB}-1", 0)
    async with recorder_on(cluster, sqlite_url) as recorder:
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == [*texts(1, 5), *texts(11, 20)]
        assert (status["lost"], status["reason"]) == (True, "Rotated")
        assert "may be missing: the log was rotated" in status["message"]


async def test_rotation_while_the_recorder_was_down_and_no_line_after_it(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    """The next recorder follows an empty file, to its good end."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(*texts(1, 5))
        await recorder.until_count(5)
    await log.write(*texts(6, 8))
    log.first = 8
    asked = len(log.requests)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.until_asked(asked + 1)
        await cluster.end_pod(f"{JOB}-1", 0)
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == texts(1, 5)
        assert (status["lost"], status["reason"]) == (True, "Rotated")


async def test_words_of_the_kubelet_are_no_lines(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.words = "failed to create fsnotify watcher: too many open files"
    await log.drop()
    await log.until_asked(2)
    log.words = ""
    await log.write("a line")
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == ["a line"]
    assert status["lost"] is False


async def test_sigkill_gets_a_closing_record(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, attempts_left=3)
    await log.write(event(1, message="start execution"))
    await cluster.end_pod(f"{JOB}-1", 137, reason="OOMKilled")
    await cluster.finalised(JOB)
    start, end = (await recorder.store.log_after(JOB, 0)).records
    assert start.message == "start execution"
    assert end.message == (
        "done execution with [failed] after [7] sec. and [2] attempts to go: "
        "OOMKilled: the container used more memory than its limit"
    )
    assert end.levelno == 50


async def test_kill_without_a_last_word(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB, spec={"kill": True})
    log = await cluster.add_pod(JOB)
    await log.write(event(1))
    await cluster.end_pod(f"{JOB}-1", 137)
    await cluster.finalised(JOB)
    *_, end = (await recorder.store.log_after(JOB, 0)).records
    assert (end.message, end.levelno) == (KILLED, 40)


async def test_class_that_can_not_be_loaded_has_no_closing_record(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1, level="CRITICAL"), event(2, "done", state="error", lastError=None))
    await cluster.end_pod(f"{JOB}-1", 78)
    await cluster.finalised(JOB)
    assert await recorder.messages() == ["line 1"]


async def test_pod_that_never_ran(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    await cluster.add_pod(JOB, state=waiting)
    body = cluster.objects["pods"][f"{JOB}-1"]
    cluster.put("pods", {**body, "status": {"phase": "Failed", "reason": "OutOfcpu"}})

    async def is_finalised() -> bool:
        state = await recorder.store.log_state(JOB)
        return state is not None and state.finalised_trial == 1

    await recorder.until(is_finalised)
    assert await recorder.messages() == []
    # The operator takes a trial with `status.log` for one that ran, so it is not written.
    assert cluster.log_status(JOB) == {}


@pytest.mark.parametrize("runtime", ["core4", "container"])
async def test_pod_deleted_while_no_recorder_was_there(
    cluster: FakeCluster, sqlite_url: str, runtime: str
) -> None:
    """The position of the loss is known, since lines were read before."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime=runtime)
    lines = [event(1), event(2)] if runtime == "core4" else texts(1, 2)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await log.write(*lines)
        await recorder.until_count(2)
    cluster.remove("pods", f"{JOB}-1")
    await cluster.set_job(JOB, state="killed")
    async with recorder_on(cluster, sqlite_url) as recorder:
        status = await cluster.finalised(JOB)
        first, second, *rest = await recorder.messages()
        assert [first, second] == texts(1, 2)
        assert len(rest) == (runtime == "core4")
        assert all(text.startswith("done execution with [killed] after [") for text in rest)
    assert (status["lost"], status["reason"], status["lines"]) == (True, "PodGone", 2 + len(rest))
    place = "line 2" if runtime == "core4" else stamp_text(log.lines[1][0])[:11]
    assert status["message"].startswith(f"lines after {place}")
    assert "the pod was gone before the rest of its log could be read" in status["message"]


async def test_a_log_is_not_given_up_as_whole_while_another_recorder_stores_it(
    cluster: FakeCluster, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its append comes in between: the gap is refused, and so must be the end of the log."""
    other = await Writer.open(sqlite_url)
    pod = LogSource(JOB, "a.Job", "hans", 1, "uid-pod", "pod-1", "node-1", f"uid-{JOB}")
    feeder = Feeder(other, await other.open_stream(pod))
    await feeder.feed("1", position=LogPosition(stamp=10**18, count=1))
    async with recorder_on(cluster, sqlite_url) as recorder:
        commits = recorder.supervisor.commits
        commit = commits._writer.commit
        overtaken: list[OperationResult] = []

        async def late(operations: Sequence[Operation]) -> list[OperationResult]:
            if not overtaken and any(isinstance(one, Finalise) for one in operations):
                overtaken.append(await feeder.feed("2", position=LogPosition(2 * 10**18, 1)))
            return await commit(operations)

        monkeypatch.setattr(commits._writer, "commit", late)
        await cluster.add_job(JOB, state="killed")
        status = await cluster.finalised(JOB)
        assert not overtaken[0].stale
        assert await recorder.messages() == ["1", "2"]
        assert (status["lost"], status["reason"]) == (True, "PodGone")
        assert [gap.after_seq for gap in await recorder.store.gaps(JOB)] == [2]
    await other.close()
