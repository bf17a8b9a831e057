"""Following one pod: attach, resume, and the possible ends of a log."""

import json

import pytest
from tests.support.fake_apiserver.logs import BASE_NS
from tests.unit.journal.conftest import JOB, Recorder, outputs, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster


def event(n: int, kind: str = "log", **fields: object) -> str:
    if kind == "log":
        fields = {"level": "INFO", "message": f"line {n}", **fields}
    return json.dumps({"core4": 1, "n": n, "type": kind, "time": BASE_NS / 1e9 + n, **fields})


def texts(first: int, last: int) -> list[str]:
    return [f"line {n}" for n in range(first, last + 1)]


def done(n: int) -> list[str]:
    message = "done execution with [complete] after [7] sec."
    return [event(n, message=message), event(n + 1, "done", state="complete", lastError=None)]


CLOSING = "done execution with [complete] after [7] sec."


async def test_attach_is_told_before_anything_is_written(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB)
    await cluster.until(lambda: cluster.log_status(JOB).get("trial") == 1)
    assert cluster.log_status(JOB)["complete"] is False


async def test_lines_are_readable_while_the_job_runs(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), event(2))
    await recorder.until_count(2)
    await log.write(event(3))
    await recorder.until_count(3)
    records = (await recorder.store.log_after(JOB, 0)).records
    assert [record.message for record in records] == texts(1, 3)
    first = records[0]
    assert (first.trial, first.hostname, first.username) == (1, "node-1", "hans")
    assert (first.qual_name, first.levelno, first.epoch) == ("a.Job", 20, BASE_NS / 1e9 + 1)


async def test_end_of_a_core4_trial(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(event(1), *done(2))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == ["line 1", CLOSING]
    assert (status["lines"], status["lastSeq"], status["lost"]) == (2, 2, False)
    state = await recorder.store.log_state(JOB)
    assert state is not None
    assert (state.finalised_trial, state.last_seq) == (1, 2)


async def test_done_line_settles_before_the_kubelet_ends_the_stream(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(*done(1))
    await recorder.until_count(1)
    body = cluster.objects["pods"][f"{JOB}-1"]
    ended = {"exitCode": 0, "startedAt": "2026-11-24T01:00:00Z", "finishedAt": None}
    status = {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "job", "state": {"terminated": ended}}],
    }
    cluster.put("pods", {**body, "status": status})
    await cluster.finalised(JOB)
    assert len(log.requests) == 1


async def test_container_that_speaks_no_protocol(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("plain", b"bad \xff\x00 bytes\r50%\r100%", '{"level":"warn","msg":"json"}', "")
    log.open_end = True
    await log.write("no end")
    await cluster.end_pod(f"{JOB}-1", 3)
    await cluster.finalised(JOB)
    records = (await recorder.store.log_after(JOB, 0)).records
    assert [record.message for record in records] == [
        "plain",
        "bad \\xff\\x00 bytes\r50%\r100%",
        "json",
        "",
        "no end",
    ]
    assert [record.levelno for record in records] == [20, 20, 30, 20, 20]


async def test_empty_log(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    await cluster.add_pod(JOB, runtime="container")
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert (status["lines"], status["lost"]) == (0, False)
    assert await recorder.messages() == []


async def test_connection_dropped_in_the_middle_of_a_line(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write(*texts(1, 50))
    await recorder.until_count(50)
    log.cut_after = 700
    await log.write(*texts(51, 100))
    await log.write(*texts(101, 110))
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert await recorder.messages() == texts(1, 110)
    assert len(log.requests) > 1
    assert "sinceTime" in log.requests[1]
    assert status["lost"] is False


@pytest.mark.parametrize("runtime", ["core4", "container"])
async def test_restart_of_the_recorder_repeats_and_loses_nothing(
    cluster: FakeCluster, sqlite_url: str, runtime: str
) -> None:
    def lines(first: int, last: int) -> list[str]:
        numbers = range(first, last + 1)
        return [event(n) if runtime == "core4" else f"line {n}" for n in numbers]

    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime=runtime)
    async with recorder_on(cluster, sqlite_url) as first:
        await log.write(*lines(1, 30))
        await first.until_count(30)
    await log.write(*lines(31, 60))
    async with recorder_on(cluster, sqlite_url) as second:
        await second.until_count(60)
    await log.write(*lines(61, 70))
    await cluster.end_pod(f"{JOB}-1", 0)
    async with recorder_on(cluster, sqlite_url) as third:
        status = await cluster.finalised(JOB)
        expected = [*texts(1, 70), CLOSING] if runtime == "core4" else texts(1, 70)
        assert await third.messages() == expected
        assert status["lost"] is False
    requests = len(log.requests)
    async with recorder_on(cluster, sqlite_url) as fourth:
        assert await fourth.messages() == expected
    assert len(log.requests) == requests, "a settled pod is not read again"


async def test_server_away_while_the_job_ends(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("one")
    await recorder.until_count(1)
    log.refusal = (503, "the API server restarts")
    await log.drop()
    await log.write("two")
    await cluster.end_pod(f"{JOB}-1", 0)
    await log.until_asked(3)
    log.refusal = None
    await cluster.finalised(JOB)
    assert await recorder.messages() == ["one", "two"]


async def test_two_pods_of_one_trial_are_two_streams(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container", name="first")
    await log.write("from the first")
    await cluster.end_pod("first", 137)
    await cluster.finalised(JOB)
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    await cluster.add_pod(JOB, runtime="container", name="second", state=waiting)
    await cluster.until(lambda: cluster.log_status(JOB)["complete"] is False)
    log = await cluster.add_pod(JOB, runtime="container", name="second")
    await log.write("from the second")
    await cluster.end_pod("second", 0)
    await cluster.finalised(JOB)
    assert await recorder.messages() == ["from the first", "from the second"]


async def test_long_lines_come_in_pieces(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    body = "ä" * (3 * 2**19 + 5)
    await log.write(body, "after")
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.finalised(JOB)
    *pieces, after = await recorder.messages()
    assert after == "after"
    assert all(piece.endswith(" [continued]") for piece in pieces[:-1])
    assert "".join(piece.removesuffix(" [continued]") for piece in pieces) == body
    assert max(len(piece.encode()) for piece in pieces) <= 2**20 + len(" [continued]")


async def test_cut_within_a_long_line(cluster: FakeCluster, sqlite_url: str) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    body = "x" * (5 * 2**20)
    log.cut_after = 3 * 2**20
    await log.write("before", body, "after")
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(2)
    await cluster.end_pod(f"{JOB}-1", 0)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await cluster.finalised(JOB)
        before, *pieces, after = await recorder.messages()
        assert (before, after) == ("before", "after")
        assert "".join(piece.removesuffix(" [continued]") for piece in pieces) == body


async def test_many_lines_at_once(cluster: FakeCluster, recorder: Recorder) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write(*[event(n) for n in range(1, 20_001)], *done(20_001))
    await cluster.end_pod(f"{JOB}-1", 0)
    await cluster.finalised(JOB)
    assert await recorder.messages() == [*texts(1, 20_000), CLOSING]


async def test_printed_lines_are_kept_apart(
    cluster: FakeCluster, recorder: Recorder, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    printed = event(2, "output", stream="stderr", text="printed")
    await log.write(event(1), printed, event(3))
    await recorder.until_count(2)
    assert await recorder.messages() == ["line 1", "line 3"]
    assert await outputs(sqlite_url, JOB) == [(1, "stderr", "printed")]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_clock_that_was_set_back_hides_no_lines(
    cluster: FakeCluster, sqlite_url: str, restart: bool
) -> None:
    """The node's clock was an hour ahead at the start; a later connection asks for a time."""
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    second, hour = 10**9, 3600 * 10**9
    log.lines += [(BASE_NS + hour + n, f"line {n}".encode()) for n in range(1, 4)]
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(3)
        log.lines.append((BASE_NS + second, b"line 4"))
        await log.poke()
        await recorder.until_count(4)
        if not restart:
            await log.drop()
            log.lines.append((BASE_NS + 3 * second, b"line 5"))
            await log.poke()
            await recorder.until_count(5)
    if restart:
        log.lines.append((BASE_NS + 3 * second, b"line 5"))
    async with recorder_on(cluster, sqlite_url) as recorder:
        await recorder.until_count(5)
        log.first = 4  # rotated
        await log.drop()
        log.lines.append((BASE_NS + 5 * second, b"line 6"))
        await cluster.end_pod(f"{JOB}-1", 0)
        status = await cluster.finalised(JOB)
        assert await recorder.messages() == texts(1, 6)
    assert status["lost"] is False
