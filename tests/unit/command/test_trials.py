"""The trials of a job: their table in `get`, and `logs --trial N`."""

import json
from typing import Any

import pytest
from tests.unit.client.raw_server import RawServer
from tests.unit.client.story import Story
from tests.unit.command.conftest import BASE, IDS, Core4, FakeCore4, job

TRIALS = [
    {
        "trial": 1, "state": "failed", "reason": "CodeError", "exit_code": 1,
        "started_at": "2026-11-24T12:00:00", "finished_at": "2026-11-24T12:01:05",
        "node": "node-1", "pod": "job-1-x", "log_from": "000000000001", "log_to": "000000000312",
    },
    {
        "trial": 2, "state": "pending", "reason": "Evicted", "exit_code": None,
        "started_at": None, "finished_at": "2026-11-24T12:02:00",
        "node": None, "pod": None, "log_from": None, "log_to": None,
    },
    {
        "trial": 3, "state": "running", "reason": None, "exit_code": None,
        "started_at": "2026-11-24T12:03:00", "finished_at": None,
        "node": "node-1", "pod": "job-3-x", "log_from": None, "log_to": None,
    },
]  # fmt: skip


def record(number: int) -> dict[str, Any]:
    return {"_id": f"{number:012d}", "level": "INFO", "message": f"line {number}"}


@pytest.fixture
def fake() -> FakeCore4:
    return FakeCore4(queue=[job(0, trial=3, trials=TRIALS), job(1)])


def test_get_shows_a_table(core4: Core4) -> None:
    result = core4("get", IDS[0])
    lines = result.out.splitlines()
    heading, first, second, third = lines[lines.index("Trials:") + 1 :]
    assert heading.split() == [
        "TRIAL", "STATE", "REASON", "EXIT", "STARTED", "RUNTIME", "NODE", "POD", "RECORDS",
    ]  # fmt: skip
    assert first.split() == [
        "1", "failed", "CodeError", "1", "2026-11-24T12:00:00Z", "1m5s", "node-1", "job-1-x",
        "1-312",
    ]  # fmt: skip
    assert second.split() == ["2", "pending", "Evicted"]
    assert third.split()[:3] == ["3", "running", "2026-11-24T12:03:00Z"]
    assert result.code == 0


def test_a_job_without_trials_has_no_table(core4: Core4) -> None:
    assert "Trials:" not in core4("get", IDS[1]).out


def test_other_forms_have_the_servers_list(core4: Core4) -> None:
    assert json.loads(core4("get", IDS[0], "-o", "json").out)["trials"] == TRIALS


def test_the_log_of_a_trial(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    fake.records = [record(1), record(2)]
    result = core4("logs", IDS[0], "--trial", "1", "--level", "info", "--with-output")
    assert (result.code, result.out) == (0, "INFO     line 1\nINFO     line 2\n")
    query = server.asked[-1].query
    assert (query["trial"], query["level"], query["output"]) == ("1", "info", "true")


def test_a_long_log_is_read_by_ranges(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    """A numbered page with a filter would read the whole log."""
    fake.records = [record(1)]
    core4("logs", IDS[0], "--trial", "1")
    assert server.asked[-1].query["from"] == "1"
    core4("logs", IDS[0], "--trial", "1", "--tail", "1")
    assert "from" not in server.asked[-1].query


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--trial", "4"], "has no trial 4; its trials: 1, 2, 3"),
        (["--trial", "5", "-f"], "has no trial 5; its trials: 1, 2, 3"),
        (["--trial", "2"], "has no records; trials with records: 1"),
        (["--trial", "2", "--grep", "x"], "has no records; trials with records: 1"),
        (["--trial", "3"], "has no records yet; -f waits for them; trials with records: 1"),
    ],
)
def test_a_trial_without_records_is_an_error(core4: Core4, words: list[str], error: str) -> None:
    result = core4("logs", IDS[0], *words)
    assert (result.code, result.out) == (3, "")
    assert error in result.err


def test_a_filter_may_leave_all_records_out(core4: Core4) -> None:
    result = core4("logs", IDS[0], "--trial", "1", "--grep", "x")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_a_trial_that_is_listed_no_more(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = [job(0, trial=60, trials=TRIALS[:1])]
    assert core4("logs", IDS[0], "--trial", "7", "--grep", "x").code == 0
    assert "trial 7 of job" in core4("logs", IDS[0], "--trial", "7").err
    fake.records = [record(1)]
    assert core4("logs", IDS[0], "--trial", "7").out == "INFO     line 1\n"


def test_a_job_that_has_not_started(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = [job(0, "pending", trial=0)]
    assert "has no trial 1; it has not started" in core4("logs", IDS[0], "--trial", "1").err
    fake.queue = [job(0, trial=2)]
    assert "has no trial 3; its newest is 2" in core4("logs", IDS[0], "--trial", "3").err


def test_a_live_trial(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    fake.story = Story([("log", "one")])
    result = core4("logs", "-f", IDS[0], "--trial", "4")
    assert (result.code, result.out, result.err) == (0, "INFO     one\n", "")
    assert server.asked[-1].path == f"{BASE}/job/log/{IDS[0]}"
    assert server.asked[-1].query == {"follow": "true", "trial": "4"}


def test_a_live_trial_without_records_is_an_error_at_its_end(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story([])
    result = core4("logs", "-f", IDS[0], "--trial", "2")
    assert (result.code, result.out) == (3, "")
    assert "trial 2 of job" in result.err


def test_the_next_trial_of_a_job_at_its_end_does_not_exist(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = [job(0, "error", trial=3, trials=TRIALS)]
    assert "has no trial 4" in core4("logs", "-f", IDS[0], "--trial", "4").err


def test_a_number_is_positive(core4: Core4) -> None:
    assert core4("logs", IDS[0], "--trial", "0").code == 2
