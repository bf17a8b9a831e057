"""`enqueue`, `follow`, `logs`, `wait`: exit codes, stdout and stderr, cuts, gaps, interrupts."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.signals import DEADLINE
from tests.unit.client.raw_server import Asked, RawServer, Reply, bad, chunked, streamed
from tests.unit.client.story import JOB, Story, document
from tests.unit.command.conftest import BASE, IDS, Core4, FakeCore4

from core4.client import Event, Log, base
from core4.client.session import Session
from core4.command.followed import Printer

END = [
    ("complete", 0),
    ("error", 1),
    ("killed", 1),
    ("inactive", 1),
]


def story(*states: str, **more: Any) -> Story:
    steps: list[tuple[str, Any]] = [("state", document(state)) for state in states[:-1]]
    steps += [("log", "Grüße ✅"), ("log", "two\nlines")]
    return Story([*steps, ("state", document(states[-1], **more))])


@pytest.mark.parametrize(("state", "code"), END)
@pytest.mark.parametrize("command", ["enqueue", "follow"])
def test_the_exit_code_is_the_result(
    core4: Core4, fake: FakeCore4, command: str, state: str, code: int
) -> None:
    fake.story = story("pending", "running", state, runtime=3.0, message="the cause")
    result = core4(command, "reports.Nightly" if command == "enqueue" else JOB)
    assert result.code == code
    assert result.out == "INFO     Grüße ✅\nINFO     two\nlines\n"
    told = result.err.splitlines()
    cause = "" if state == "complete" else ": the cause"
    assert told[-3:] == [
        "-- pending --",
        "-- running, trial 1 --",
        f"-- {state} after 3s{cause} --",
    ]


def test_a_failed_trial_is_no_end(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story(
        [
            ("state", document("running")),
            ("state", document("failed", query_at="2026-11-24T12:10:00", attempts_left=2)),
            ("state", document("running", trial=2)),
            ("state", document("complete")),
        ]
    )
    result = core4("follow", JOB)
    assert result.code == 0
    assert "failed, next trial at" in result.err
    assert "(2 attempts left)" in result.err
    assert "running, trial 2" in result.err


def test_a_waiting_job_tells_each_reason_once(core4: Core4, fake: FakeCore4) -> None:
    waits = document("pending", reason="MaxParallel", message="3 jobs are before it")
    last = document("pending", reason="MaxParallel", message="1 job is before it")
    fake.story = Story(
        [("state", waits), ("state", waits), ("state", last), ("state", document("complete"))]
    )
    told = [line for line in core4("follow", JOB).err.splitlines() if "before it" in line]
    assert told == [
        "-- pending: MaxParallel: 3 jobs are before it --",
        "-- pending: MaxParallel: 1 job is before it --",
    ]


def test_progress_is_a_line_per_tenth(core4: Core4, fake: FakeCore4) -> None:
    values = [0.0, 0.05, 0.11, 0.12, 0.35, 1.0]
    fake.story = Story(
        [
            *(
                ("state", document("running", prog={"value": value, "message": "m"}))
                for value in values
            ),
            ("state", document("complete")),
        ]
    )
    told = [line for line in core4("follow", JOB).err.splitlines() if "%" in line]
    assert [line.split()[1] for line in told] == ["11%", "35%", "100%"]


def test_a_gap_is_told_and_may_fail(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story()
    result = core4("follow", JOB)
    assert result.code == 0
    assert "-- lines 4 to 4 are missing here: node lost --" in result.err
    assert "missing" not in result.out
    assert core4("follow", JOB, "--fail-on-gap").code == 1


def test_every_event_as_json(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story()
    result = core4("follow", JOB, "-o", "jsonl")
    kinds = [json.loads(line)["event"] for line in result.out.strip().split("\n")]
    assert kinds == ["state", "log", "log", "gap", "gap", "gap", "gap", "log", "state", "close"]


def test_the_job_at_its_end(core4: Core4, fake: FakeCore4) -> None:
    fake.story = story("running", "error")
    result = core4("follow", JOB, "-o", "json")
    assert (result.code, json.loads(result.out)["state"]) == (1, "error")
    assert core4("enqueue", "reports.Nightly", "-o", "name").out.strip() == JOB


def test_a_stream_that_is_cut_is_whole(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    body = streamed(fake.story.body())
    whole = core4("follow", JOB, "-o", "jsonl").out
    for share in (0.2, 0.6, 0.99):
        replies = [Reply([body[: int(len(body) * share)]])]

        def answer(asked: Asked, replies: list[Reply] = replies) -> Reply:
            return replies.pop() if replies else fake(asked)

        server.answer = answer
        result = core4("follow", JOB, "-o", "jsonl")
        assert result.code == 0
        assert _records(result.out) == _records(whole)


def _records(text: str) -> list[str]:
    return [line for line in text.split("\n") if '"event": "log"' in line]


def test_a_job_that_is_gone_is_not_complete(core4: Core4, fake: FakeCore4) -> None:
    fake.errors["GET", f"/job/follow/{JOB}"] = bad(404, "no such job")
    assert core4("follow", JOB).code == 3


def begun(response: bytes) -> bytes:
    """Return a response in chunked coding without its end."""
    return response.removesuffix(b"0\r\n\r\n")


def test_timeout(core4: Core4, fake: FakeCore4, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    printed = threading.Event()
    take = Printer.take

    def taken(printer: Printer, event: Event) -> None:
        take(printer, event)
        if isinstance(event, Log):
            printed.set()

    def chunks() -> Iterator[bytes]:
        nonlocal now
        yield begun(streamed(b"".join(fake.story.frames(None)[:2])))
        # A busy machine may need longer for the record than any timeout of a test.
        printed.wait(DEADLINE)
        now = 61.0
        yield begun(chunked(b": keep-alive\n\n"))

    monkeypatch.setattr(Printer, "take", taken)
    monkeypatch.setattr(base, "Session", partial(Session, now=lambda: now))
    fake.errors["GET", f"/job/follow/{JOB}"] = Reply(chunks(), keep=True, hold=True)
    result = core4("follow", JOB, "--timeout", "60")
    assert result.code == 124
    assert result.out == "INFO     Grüße ✅\n"


def interrupt(server: RawServer, number: int) -> None:
    """Send a signal to this process once the stream is open."""

    def send() -> None:
        while not any("/follow/" in asked.path for asked in server.asked):
            threading.Event().wait(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def test_ctrl_c_detaches(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    fake.errors["GET", f"/job/follow/{JOB}"] = Reply(
        [begun(streamed(fake.story.frames(None)[0]))], keep=True, hold=True
    )
    interrupt(server, signal.SIGINT)
    result = core4("follow", JOB)
    assert result.code == 130
    assert f"Job {JOB} goes on. Follow: core4 follow {JOB} · kill: core4 kill {JOB}" in result.err
    assert not any("/kill/" in asked.path for asked in server.asked)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_kills_if_wanted(
    core4: Core4, fake: FakeCore4, server: RawServer, number: int
) -> None:
    open_stream = Reply([begun(streamed(fake.story.frames(None)[0]))], keep=True, hold=True)
    fake.errors["GET", f"/job/follow/{JOB}"] = open_stream
    fake.story = story("running", "killed")

    def killed(asked: Asked) -> Reply:
        if asked.path == f"{BASE}/job/kill/{JOB}":
            fake.errors.clear()
        return fake(asked)

    server.answer = killed
    interrupt(server, number)
    result = core4("follow", JOB, "--kill-on-interrupt")
    assert result.code == 1
    assert "killed" in result.err.splitlines()[-1]
    assert [asked.path for asked in server.asked if "/kill/" in asked.path] == [
        f"{BASE}/job/kill/{JOB}"
    ]


def body_of(server: RawServer) -> dict[str, Any]:
    (asked,) = [asked for asked in server.asked if asked.method == "POST"]
    return dict(asked.json)


def test_detach_prints_the_id_only(core4: Core4, server: RawServer) -> None:
    result = core4("enqueue", "reports.Nightly", "-d")
    assert (result.code, result.out, result.err) == (0, f"{JOB}\n", "")
    (asked,) = [asked for asked in server.asked if asked.method == "POST"]
    assert asked.headers["idempotency-key"]
    assert core4("submit", "reports.Nightly", "-d", "--idempotency-key", "k1").out
    assert server.asked[-1].headers["idempotency-key"] == "k1"


def test_arguments_are_typed_by_the_schema(core4: Core4, server: RawServer, home: Any) -> None:
    (home / "text").write_text("from a file")
    (home / "more.yaml").write_text("more: [1, 2]\nn: 1\n")
    result = core4(
        "enqueue", "reports.Nightly", "-d", "n=3", "name=3", "colour=3", "other=[1]", "word=x",
        "raw:={\"a\": null}", f"text=@{home}/text", "-f", f"{home}/more.yaml", "--set",
        "attempts=3", "--set", "worker=node-1", "--args", '{"z": true}',
    )  # fmt: skip
    assert result.code == 0, result.err
    assert body_of(server)["args"] == {
        "more": [1, 2], "n": 3, "name": "3", "colour": 3, "other": [1], "word": "x",
        "raw": {"a": None}, "text": "from a file", "attempts": 3, "worker": "node-1", "z": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["n=three"], "argument n expects integer, got 'three'"),
        (["n=3", "n=4"], "argument n is given twice"),
        (["n"], "expected name=value or name:=json, got 'n'"),
        (["x:={"], "argument x is not JSON"),
        (["x=@/no/such/file"], "argument x: can't read the file"),
        (["colour=blue"], 'argument colour expects one of "red", 3'),
        (["--args", "[1]"], "--args is not a JSON object"),
        (["--set", "attempts=many"], "argument attempts expects integer"),
        (["-f", "/no/such/file"], "can't read /no/such/file"),
        (["--timeout", "soon"], "expected seconds, or a span"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_enqueued(
    core4: Core4, server: RawServer, args: list[str], words: str
) -> None:
    result = core4("enqueue", "reports.Nightly", *args)
    assert result.code == 2
    assert words in result.err
    assert not [asked for asked in server.asked if asked.method == "POST"]


def test_the_server_says_no(core4: Core4, fake: FakeCore4) -> None:
    fake.errors["POST", "/job"] = bad(404, "unknown qual_name [no.Job]")
    result = core4("enqueue", "no.Job")
    assert (result.code, result.out) == (3, "")
    assert result.err == "error: unknown qual_name [no.Job]\n"


def test_the_latest_job_is_remembered(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    assert "no job was enqueued from here" in core4("follow", "@latest").err
    core4("enqueue", "reports.Nightly", "-d")
    fake.story = story("running", "complete")
    assert core4("follow", "@latest").code == 0
    assert server.asked[-1].path == f"{BASE}/job/follow/{JOB}"


RECORDS = [
    {
        "_id": f"{n:012d}",
        "level": level,
        "message": f"line {n}",
        "created": f"2026-11-24T12:00:0{n}",
    }
    for n, level in ((1, "INFO"), (2, "ERROR"))
]


def test_logs(core4: Core4, fake: FakeCore4) -> None:
    fake.records = RECORDS
    assert core4("logs", JOB).out == "INFO     line 1\nERROR    line 2\n"
    assert core4("logs", JOB, "--no-prefix").out == "line 1\nline 2\n"
    assert core4("logs", JOB, "--timestamps", "utc", "--no-prefix").out == (
        "2026-11-24T12:00:01.000Z line 1\n2026-11-24T12:00:02.000Z line 2\n"
    )
    assert core4("logs", JOB, "--timestamps=since", "--no-prefix").out == (
        "    0.000 line 1\n    1.000 line 2\n"
    )
    found = [json.loads(line) for line in core4("logs", JOB, "-o", "jsonl").out.splitlines()]
    assert found == RECORDS


def test_live_logs_have_no_story(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story([("log", "one"), ("log", "two")])
    result = core4("logs", "-f", JOB)
    assert (result.code, result.out, result.err) == (0, "INFO     one\nINFO     two\n", "")


def test_filters_are_the_servers(core4: Core4, server: RawServer) -> None:
    core4("logs", JOB, "--level", "error", "--grep", "a.b", "--tail", "3", "--since", "2026-11-24")
    query = server.asked[-1].query
    assert (query["level"], query["grep"]) == ("error", "a.b")
    assert query["since"].startswith("2026-11-24T00:00:00")


def test_wait(core4: Core4, fake: FakeCore4) -> None:
    fake.story = story("running", "complete")
    assert core4("wait", JOB, IDS[1]).code == 0
    fake.story = story("running", "error", message="boom")
    result = core4("wait", JOB, "--any")
    assert (result.code, result.out) == (1, f"{JOB} error: boom\n")
    fake.errors["GET", f"/job/follow/{JOB}"] = bad(404, "no such job")
    assert core4("wait", JOB, IDS[1]).code == 3


def test_waiting_has_a_timeout(core4: Core4, fake: FakeCore4) -> None:
    head = begun(streamed(fake.story.frames(None)[0]))
    fake.errors["GET", f"/job/follow/{JOB}"] = Reply([head], keep=True, hold=True)
    result = core4("wait", JOB, "--timeout", "0.2s")
    assert result.code == 124
    assert f"job {JOB} has not ended" in result.err


def test_nothing_of_a_job_controls_the_terminal(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story([("log", "a\x1b]0;t\x07b\x1b[31mc\rd"), ("state", document("complete"))])
    assert core4("follow", JOB).out == "INFO     abcd\n"
    coloured = core4("follow", JOB, "--color", "always").out
    assert coloured == "INFO     ab\x1b[31mcd\x1b[0m\n"
