"""Unreadable logs: reported, retried at a bounded rate, and read once that is possible."""

import logging
import time
from functools import partial
from typing import Any, Final

import pytest
from tests.support.fake_apiserver.logs import PodLog
from tests.unit.journal.conftest import JOB, Recorder, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.recorder import supervisor
from corejob_journal.recorder.ingest import attempts, retries, unreadable
from corejob_journal.recorder.ingest.retries import BURST, RATE, REPEAT_S, Retries, scope_of
from corejob_kube.errors import for_status

# Recorded from an API server 1.37.2 whose kubelet was missing, had a certificate of another name,
# and answered with that status.
_REFUSED: Final = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": 'Get "https://127.0.0.1:1/containerLogs/ns/pod/job?timestamps=true": dial tcp '
    "127.0.0.1:1: connect: connection refused",
    "code": 500,
}
_CERTIFICATE: Final = {
    **_REFUSED,
    "message": 'Get "https://127.0.0.1:10250/containerLogs/ns/pod/job?timestamps=true": tls: '
    "failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it "
    "doesn't contain any IP SANs",
}
_FORBIDDEN: Final = {
    **_REFUSED,
    "message": "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, "
    "subresource=proxy) ( pods/log on-faked)",
    "reason": "Forbidden",
    "details": {"name": "on-faked", "kind": "pods/log"},
    "code": 403,
}
_UNAVAILABLE: Final = {
    **_REFUSED,
    "message": "the server is currently unable to handle the request ( pods/log on-faked)",
    "reason": "ServiceUnavailable",
    "details": {"name": "on-faked", "kind": "pods/log"},
    "code": 503,
}
_INTERNAL: Final = {
    **_REFUSED,
    "message": "Internal error occurred: Internal Error: something",
    "reason": "InternalError",
    "details": {"causes": [{"message": "Internal Error: something"}]},
    "code": 500,
}
_NOT_ALLOWED: Final = {
    **_REFUSED,
    "message": 'pods "x" is forbidden: User "system:serviceaccount:core4:recorder" cannot get '
    'resource "pods/log" in API group "" in the namespace "core4"',
    "reason": "Forbidden",
    "details": {"name": "x", "kind": "pods"},
    "code": 403,
}


@pytest.fixture(autouse=True)
def quickly_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "_AFTER_S", 0.3)
    monkeypatch.setattr(attempts, "_ERROR_TEXT_WITHIN_S", 0.1)


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        (_REFUSED, "node-1"),
        (_CERTIFICATE, "node-1"),
        (_FORBIDDEN, "node-1"),
        (_UNAVAILABLE, "node-1"),
        (_INTERNAL, None),
        (_NOT_ALLOWED, ""),
    ],
)
def test_an_error_says_whether_it_is_of_a_log_a_node_or_all(
    body: dict[str, Any], scope: str | None
) -> None:
    error = for_status(body["code"], str(body.get("reason")), body["message"])
    assert scope_of(error, "node-1") == scope


def job_id(number: int) -> str:
    return f"6743{number:020x}"


async def many(cluster: FakeCluster, count: int, answer: dict[str, Any]) -> list[PodLog]:
    logs = []
    for number in range(count):
        await cluster.add_job(job_id(number))
        log = await cluster.add_pod(job_id(number), runtime="container")
        log.answer = answer
        logs.append(log)
    return logs


def requests(logs: list[PodLog]) -> int:
    return sum(len(log.requests) for log in logs)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("answer", "most"), [(_REFUSED, 20), (_INTERNAL, 6 * RATE + 2 * BURST)])
async def test_700_logs_that_cant_be_read_cost_few_requests(
    cluster: FakeCluster,
    sqlite_url: str,
    answer: dict[str, Any],
    most: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs = await many(cluster, 700, answer)
    caplog.set_level(logging.WARNING)
    async with recorder_on(cluster, sqlite_url) as recorder:
        began = time.monotonic()
        await cluster.until(
            lambda: all(
                cluster.log_status(job_id(number)).get("reason") == "Unreadable"
                for number in range(700)
            ),
            seconds=500,
        )
        lasted = time.monotonic() - began
        # Each log may be requested once before the recorder knows that none can be read.
        assert requests(logs) - 700 <= most * max(1.0, lasted / 5.0)
        registry = recorder.supervisor.metrics.registry
        assert registry.get_sample_value("core4_recorder_unreadable_logs") == 700
        message = cluster.log_status(job_id(7))["message"]
        assert message.startswith("since 20")
        assert f"UTC the log can't be read, trying again: {answer['code']}" in message
        said = [record for record in caplog.records if "can't be read" in record.message]
        assert said
        if answer is _REFUSED:
            assert len(said) <= 1 + lasted / REPEAT_S


async def test_logs_are_read_soon_after_their_node_answers_again(
    cluster: FakeCluster, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "Retries", partial(Retries, rate=100.0, burst=5))
    logs = await many(cluster, 60, _REFUSED)
    async with recorder_on(cluster, sqlite_url) as recorder:
        for log in logs:
            await log.write("a line")
        name = job_id(59)
        await cluster.until(lambda: cluster.log_status(name).get("reason") == "Unreadable")
        for log in logs:
            log.answer = None
        for number in range(60):
            await recorder.until_count(1, job_id(number))
        await cluster.until(
            lambda: not any(cluster.log_status(job_id(n)).get("reason") for n in range(60))
        )
        assert cluster.log_status(name).get("message") is None
        registry = recorder.supervisor.metrics.registry
        assert registry.get_sample_value("core4_recorder_unreadable_logs") == 0


async def test_a_node_that_does_not_answer_holds_up_no_other(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(job_id(1))
    log = await cluster.add_pod(job_id(1), node="node-2")
    log.answer = _REFUSED
    await log.until_asked(2)
    await cluster.add_job(JOB)
    good = await cluster.add_pod(JOB, runtime="container")
    await good.write("a line")
    await recorder.until_count(1)


async def test_a_log_that_fails_by_itself_holds_up_no_other_of_its_node(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(job_id(1))
    log = await cluster.add_pod(job_id(1))
    log.answer = _INTERNAL
    await log.until_asked(2)
    await cluster.add_job(JOB)
    good = await cluster.add_pod(JOB, runtime="container")
    await good.write("a line")
    await recorder.until_count(1)


async def test_lost_lines_stay_named_while_and_after_the_log_is_unreadable(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB)
    await log.write('{"core4": 1, "n": 3, "type": "log", "message": "third"}')
    await recorder.until_count(1)
    log.answer = _REFUSED
    await log.drop()
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
    lost = "lines 1 to 2 are gone from the pod's log"
    assert cluster.log_status(JOB)["message"].startswith(f"{lost}; since 20")
    log.answer = None
    await cluster.until(lambda: cluster.log_status(JOB).get("message") == lost)
    assert cluster.log_status(JOB)["reason"] == "LinesMissing"


async def test_a_recorder_takes_back_what_one_before_it_said(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.answer = _REFUSED
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
    log.answer = None
    async with recorder_on(cluster, sqlite_url):
        await cluster.until(lambda: cluster.log_status(JOB).get("reason") is None)


@pytest.mark.parametrize("answer", [_REFUSED, _INTERNAL])
async def test_a_pod_that_goes_ends_the_waiting(
    cluster: FakeCluster,
    recorder: Recorder,
    answer: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed job's log is finalised at once, whatever its node does."""
    for name in ("_PROBE_FIRST_S", "_PROBE_MOST_S", "_PROBE_MOST_API_S"):
        monkeypatch.setattr(retries, name, 3600.0)
    await many(cluster, 30, answer)
    await cluster.until(lambda: cluster.log_status(job_id(3)).get("reason") == "Unreadable")
    cluster.remove("pods", f"{job_id(3)}-1")
    status = await cluster.finalised(job_id(3))
    assert (status["lost"], status["reason"]) == (True, "PodGone")


async def test_words_of_a_kubelet_in_place_of_a_log_are_said_too(
    cluster: FakeCluster, recorder: Recorder
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.words = 'failed to open log file "/x": open /x: no such file or directory'
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") == "Unreadable")
    assert log.words in cluster.log_status(JOB)["message"]
    log.words = ""
    await cluster.until(lambda: cluster.log_status(JOB).get("reason") is None)


async def test_a_log_that_cant_be_followed_is_read_again_and_again(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_POLL_FIRST_S", 0.05)
    monkeypatch.setattr(attempts, "_POLL_MOST_S", 0.1)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.no_watcher = "failed to create fsnotify watcher: too many open files"
    for number in range(1, 6):
        await log.write(f"line {number}")
        await recorder.until_count(number)
    assert ["follow" in query for query in log.requests[:3]] == [True, False, False]
    assert cluster.log_status(JOB).get("reason") is None
    await cluster.end_pod(f"{JOB}-1", 0)
    status = await cluster.finalised(JOB)
    assert status["lost"] is False
    assert await recorder.messages() == [f"line {number}" for number in range(1, 6)]


async def test_a_log_is_followed_again_once_its_node_can(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_NO_FOLLOW_S", 0.5)
    monkeypatch.setattr(attempts, "_POLL_FIRST_S", 0.05)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    log.no_watcher = 'failed to watch directory "/var/log/pods/x": no space left on device'
    await log.until_asked(3)
    log.no_watcher = ""
    while "follow" not in log.requests[-1]:
        await log.until_asked(len(log.requests) + 1)
    await log.write("a line")
    await recorder.until_count(1)


async def test_a_container_that_has_ended_is_read_without_following(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("a line")
    await cluster.end_pod(f"{JOB}-1", 0)
    async with recorder_on(cluster, sqlite_url) as recorder:
        await cluster.finalised(JOB)
        assert await recorder.messages() == ["a line"]
    assert not any("follow" in query for query in log.requests)
    assert retries.RATE == 20.0
