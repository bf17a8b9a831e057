"""Closing records of trials whose log has none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corejob import model
from corejob_journal.recorder.ingest import pods
from corejob_journal.recorder.ingest.closing import closing_record, closing_record_of

NOW = datetime(2026, 11, 24, 1, 0, 30, tzinfo=UTC)


def pod(
    code: int | None, attempts_left: int = 1, pod_status: Any = None, **ended: Any
) -> pods.JobPod:
    start = {"startedAt": "2026-11-24T01:00:00Z"}
    state: dict[str, Any] = {"running": start}
    if code is not None:
        end = {"exitCode": code, "reason": "Error", "finishedAt": "2026-11-24T01:00:07Z"}
        state = {"terminated": {**start, **end, **ended}}
    body = {
        "metadata": {
            "name": "p",
            "uid": "u",
            "creationTimestamp": "2026-11-24T00:00:00Z",
            "labels": {"core4.io/corejob": "j", "core4.io/trial": "1"},
            "annotations": {
                "core4.io/id": "a" * 24,
                "core4.io/attempts-left": str(attempts_left),
            },
        },
        "spec": {"containers": [{"name": "job"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "job", "state": state}],
            **(pod_status or {}),
        },
    }
    parsed = pods.parse(body)
    assert parsed is not None
    return parsed


def job(**status: Any) -> model.CoreJob:
    spec = status.pop("spec", {})
    return model.parse({"metadata": {"name": "j"}, "spec": spec, "status": status})


STOPPED = '{"lastError": {"exception": "JobKilledByWorker"}}'
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
TRACE = '{"lastError": {"exception": "ValueError(1)", "traceback": ["Traceback\\n", "  x\\n"]}}'


@pytest.mark.parametrize(
    ("given", "text", "levelno"),
    [
        (pod(0), "[complete] after [7] sec.", 20),
        (pod(137), "[error] after [7] sec. and [0] attempts to go: the container ended with exit"
         " code 137 (SIGKILL); its pod was not deleted. The cause may be memory, which a busy node"
         " does not always report; the limit is not set", 50),
        (pod(137, 2, reason="OOMKilled"), "[failed] after [7] sec. and [1] attempts to go:"
         " OOMKilled: the container used more memory than its limit", 50),
        (pod(143, 3, message=STOPPED), "[killed] after [7] sec.", 40),
        (pod(143, 3), "[failed] after [7] sec. and [2] attempts to go: the container ended with"
         " exit code 143 (SIGTERM), although its pod was not deleted; a failing probe may be the"
         " cause", 50),
        (pod(None), "[killed] after [30] sec.", 40),
        (pod(137, 3, {"phase": "Failed", "reason": "Evicted", "conditions": [DISRUPTED]}),
         "[killed] after [7] sec.", 40),
        (pod(137, 3, {"phase": "Failed", "reason": "Evicted", "message": "too much"}),
         "[failed] after [7] sec. and [2] attempts to go: Evicted: too much", 50),
        (pod(1, 1, message=TRACE), "[error] after [7] sec. and [0] attempts to go: ValueError(1)\n"
         "Traceback\n  x", 50),
        (pod(78, 2, message=TRACE), "[error] after [7] sec. and [2] attempts to go: ValueError(1)\n"
         "Traceback\n  x", 50),
    ],
)  # fmt: skip
def test_words(given: pods.JobPod, text: str, levelno: int) -> None:
    record = closing_record(given, None, now=NOW, epoch=0.0)
    assert record.message == f"done execution with {text}"
    assert record.levelno == levelno


def test_a_kill_beats_the_exit_code() -> None:
    record = closing_record(pod(1, 3), job(spec={"kill": True}), now=NOW, epoch=0.0)
    assert record.message == "done execution with [killed] after [7] sec."


def test_deferred_says_the_time_left() -> None:
    given = job(inactiveTime="2026-11-24T02:02:10Z")
    record = closing_record(pod(75), given, now=NOW, epoch=0.0)
    assert record.message.startswith("done execution with [deferred] after [7] sec. and [1:02:03]")
    assert record.levelno == 20


def test_it_comes_after_the_last_record() -> None:
    late = (NOW + timedelta(hours=1)).timestamp()
    assert closing_record(pod(0), None, now=NOW, epoch=late).epoch == late


@pytest.mark.parametrize(
    ("given", "text", "levelno"),
    [
        (job(state="killed", startTime="2026-11-24T01:00:00Z", endTime="2026-11-24T01:00:09Z"),
         "[killed] after [9] sec.", 40),
        (job(state="pending", startTime="2026-11-24T01:00:00Z"), "[killed] after [30] sec.", 40),
        (job(state="error", attemptsLeft=0, startTime="2026-11-24T01:00:00Z",
             endTime="2026-11-24T01:00:01Z",
             lastError={"exception": "ValueError(1)", "traceback": ["Traceback\n"]}),
         "[error] after [1] sec. and [0] attempts to go: ValueError(1)\nTraceback", 50),
        (job(state="complete", spec={"kill": True}), "[complete] after [0] sec.", 20),
    ],
)  # fmt: skip
def test_record_for_a_trial_without_a_pod(given: model.CoreJob, text: str, levelno: int) -> None:
    record = closing_record_of(given, now=NOW, epoch=0.0)
    assert (record.message, record.levelno) == (f"done execution with {text}", levelno)
