"""`ls`, `history`, `get`, `jobs`, `counts`: rows, forms, filters, and what the server is asked."""

import json
from typing import Any

import pytest
import yaml
from tests.unit.client.raw_server import RawServer, bad
from tests.unit.command.conftest import ENTRY, IDS, Core4, FakeCore4, job

LISTINGS = ["ls", "history"]


@pytest.fixture
def fake() -> FakeCore4:
    jobs = [job(0), job(1, "failed", reason="RetryLater", message="next trial at 12:10")]
    return FakeCore4(queue=jobs, past=jobs)


@pytest.mark.parametrize("name", [*LISTINGS, "ps", "queue", "journal"])
def test_a_table(core4: Core4, name: str) -> None:
    result = core4(name)
    heading, first, second = result.out.splitlines()
    assert heading.split() == [
        "ID", "NAME", "STATE", "PROGRESS", "ENQUEUED", "RUNTIME", "REASON",
    ]  # fmt: skip
    assert first.split() == [
        IDS[0],
        "reports.Nightly",
        "running",
        "42%",
        "2026-11-24T12:00:00Z",
        "3s",
    ]
    assert second.split()[-1] == "RetryLater"
    assert not any(line.endswith(" ") for line in result.out.splitlines())
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_is_written_in_the_form_of_the_option(
    core4: Core4, fake: FakeCore4, name: str
) -> None:
    assert json.loads(core4(name, "-o", "json").out) == fake.queue
    lines = core4(name, "-o", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == fake.queue
    assert list(yaml.safe_load_all(core4(name, "-o", "yaml").out)) == fake.queue
    assert core4(name, "-o", "name").out.split() == IDS[:2]
    assert core4(name, "-q").out.split() == IDS[:2]
    assert len(core4(name, "--no-headers").out.splitlines()) == 2
    wide = core4(name, "-o", "wide").out
    assert "USER" in wide
    assert "next trial at 12:10" in wide
    assert core4(name, "--limit", "1", "-q").out.split() == IDS[:1]


def test_an_empty_queue(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = []
    result = core4("ls")
    assert (result.code, result.out, result.err) == (0, "", "No job in the queue.\n")
    assert json.loads(core4("ls", "-o", "json").out) == []


def arguments(server: RawServer) -> dict[str, Any]:
    asked = server.asked[-1]
    given = {**asked.query, **(asked.json if asked.body else {})}
    where = given.get("filter")
    return {**given, "filter": json.loads(where) if isinstance(where, str) else where}


def test_filters(core4: Core4, server: RawServer) -> None:
    core4(
        "history", "--state", "failed,error", "--name", "a.Job", "--user", "ann", "--since",
        "2026-11-24T12:00", "--until", "2026-11-25", "--search", "night",
    )  # fmt: skip
    found = arguments(server)
    assert found["filter"] == {
        "qual_name": "a.Job",
        "state": {"$in": ["failed", "error"]},
        "enqueued.username": "ann",
        "enqueued.at": {"$gte": "2026-11-24T12:00:00", "$lt": "2026-11-25T00:00:00"},
    }
    assert found["search"] == "night"


def test_a_sort(core4: Core4, server: RawServer) -> None:
    core4("ls", "--sort=-priority,_id")
    sort = arguments(server)["sort"]
    assert (json.loads(sort) if isinstance(sort, str) else sort) == [["priority", -1], ["_id", 1]]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ls", "--state", "broken"], "there is no state 'broken'"),
        (["ls", "--since", "someday"], "expected ISO 8601"),
        (["ls", "--limit", "0"], "not in the range"),
        (["ls", "-o", "xml"], "'xml' is not one of"),
        (["ls", "extra"], "unexpected extra argument"),
        (["lss"], "There is no command 'lss'. Did you mean 'ls'?"),
        (["get"], "Missing argument"),
    ],
)
def test_wrong_usage(core4: Core4, args: list[str], words: str) -> None:
    result = core4(*args)
    assert result.code == 2
    assert words in result.err
    assert result.out == ""


def test_get(core4: Core4, fake: FakeCore4) -> None:
    fake.queue[1]["last_error"] = {
        "exception": "KeyError: 'x'",
        "traceback": ["Traceback\n", "  a\n"],
    }
    fake.queue[1]["cannot"] = {"restart": "not now"}
    since = {"reason": "MaxParallel", "since": "2026-11-24T12:00:00"}
    fake.queue[1]["waiting"] = {**since, "position": 4, "running": 15, "limit": 15, "until": None}
    result = core4("get", *IDS[:2])
    first, second = result.out.split("\n\n")
    assert f"Job:         {IDS[0]}" in first
    assert "State:       running, trial 1" in first
    assert "RetryLater" in second
    waiting = "Waiting:     since 2026-11-24T12:00:00Z, number 4 in line, 15 of 15 run"
    assert waiting in second.splitlines()
    assert "Waiting:" not in first
    assert "  Traceback\n    a\n" in second
    assert "Not now:     not now" in second
    assert json.loads(core4("get", IDS[0], "-o", "json").out) == fake.queue[0]
    assert len(json.loads(core4("get", *IDS[:2], "-o", "json").out)) == 2


def test_a_unique_beginning_is_enough(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = [job(0), job(16)]
    assert core4("get", IDS[16][:23], "-q").out.strip() == IDS[16]
    result = core4("get", IDS[0][:6])
    assert result.code == 3
    assert "2 jobs in the queue have ids that begin with" in result.err
    result = core4("get", "ffff")
    assert "no job in the queue has an id that begins with ffff" in result.err
    assert "not an id of a job: 'xyz'" in core4("get", "xyz").err


def test_a_job_that_is_not_there(core4: Core4) -> None:
    result = core4("get", "0" * 24)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"error: job [{'0' * 24}] not found")


def test_the_catalogue(core4: Core4) -> None:
    assert "reports.Nightly" in core4("jobs").out
    assert "Makes the report." in core4("jobs").out
    assert "And more." not in core4("jobs").out
    assert core4("jobs", "-q").out == "reports.Nightly\n"
    assert json.loads(core4("jobs", "reports.Nightly", "-o", "json").out) == ENTRY
    shown = core4("jobs", "reports.Nightly").out
    assert '"integer"' in shown
    assert "attempts = 1" in shown
    assert core4("jobs", "--tag", "night", "-q").out == "reports.Nightly\n"
    assert core4("jobs", "--tag", "day", "-q").out == ""
    missing = core4("jobs", "no.Job")
    assert missing.code == 3
    assert "there is no job no.Job" in missing.err


def test_counts(core4: Core4) -> None:
    assert [line.split() for line in core4("counts").out.splitlines()] == [
        ["STATE", "JOBS"],
        ["pending", "2"],
        ["running", "1"],
        ["total", "3"],
    ]
    assert json.loads(core4("info", "-o", "json").out)["total"] == 3


def test_texts_of_jobs_cant_control_the_terminal(core4: Core4, fake: FakeCore4) -> None:
    fake.queue[1]["message"] = "bad\x1b]0;title\x07 \x1b[2J\x1b[31mred\nnext"
    for args in (["ls", "-o", "wide"], ["get", IDS[1]]):
        out = core4(*args).out
        assert "\x1b" not in out
        assert "bad red next" in out


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 3), (401, 4), (403, 3), (404, 3), (409, 3), (429, 3), (500, 5), (503, 5)],
)
def test_errors_have_one_sentence_and_a_code(
    core4: Core4, fake: FakeCore4, status: int, code: int
) -> None:
    fake.errors["GET", "/job"] = bad(status, "something is wrong", Retry_After="3600")
    result = core4("ls")
    assert result.code == code
    assert result.out == ""
    assert result.err.splitlines()[0] == "error: something is wrong"
    assert "Traceback" not in result.err
    assert "e" * 24 in core4("ls", "--debug").err


def test_no_server(core4: Core4, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORE4_URL")
    result = core4("ls")
    assert result.code == 2
    assert "no server is known" in result.err
