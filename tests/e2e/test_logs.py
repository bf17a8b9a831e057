"""Unusual logs: every line is in the journal, or its loss is reported.

Jobs of the core4 runtime number their lines themselves; a plain container's lines only have the
kubelet's timestamps.
"""

from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.jobs import BURST, CHATTY, ODD
from tests.support.kubectl import Kubectl, polled
from tests.support.rest import Rest
from tests.support.scripts import DRAINED

pytestmark = pytest.mark.cluster

LOGS = "e2e.logs."
MANY = 100_000
MIB = 2**20
CONTINUED = " [continued]"
START = "start execution"
CRASH = "Fatal Python error: Segmentation fault"


def python(rest: Rest, kubectl: Kubectl, image: str, name: str, script: str) -> str:
    """Return the id of a job that runs a Python script in a container."""
    return command(rest, kubectl, image, name, ["python3", "-u", "-c", script + DRAINED])


def command(rest: Rest, kubectl: Kubectl, image: str, name: str, words: list[str]) -> str:
    """Return the id of a job that runs a command in a container."""
    container = {"name": "job", "image": image, "command": words}
    qual_name = f"{LOGS}{name}"
    kubectl.apply(template(qual_name, runtime="container", pod={"containers": [container]}))
    rest.wait_listed(qual_name)
    return rest.enqueue(qual_name)


def settled(kubectl: Kubectl, job_id: str) -> dict[str, Any]:
    """Wait until the log of an ended job is complete, and return its `status.log`."""
    return polled(
        lambda: corejobs.status(kubectl, job_id).get("log") or {},
        lambda log: bool(log.get("complete")),
        what=f"the log of {job_id} is complete",
        seconds=120,
    )


def whole(rest: Rest, kubectl: Kubectl, job_id: str, *, printed: int = 0) -> list[str]:
    """Return the messages of an ended job that printed `printed` lines; none may be missing."""
    # Before anything else, since a past CoreJob is deleted soon. Now all of the log is stored.
    log = settled(kubectl, job_id)
    messages = [record["message"] for record in rest.log(job_id)]
    assert log["lost"] is False, log
    assert log["lines"] - printed == log["lastSeq"] == len(messages)
    return messages


def dropped(document: dict[str, Any], line: str) -> bool:
    """True if the kubelet has not seen a line either, whose last ones are in the job's message.

    The container runtime may drop what a process writes just before it dies (docs/journal.md).
    """
    return line not in document["message"]


def leading(messages: list[str]) -> list[int]:
    """Return the numbers with which lines begin."""
    firsts = (text.partition(" ")[0] for text in messages)
    return [int(first) for first in firsts if first.isdecimal()]


# --- odd lines ---------------------------------------------------------------------------------


def test_odd_lines_of_a_job_class(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(ODD)
    rest.wait_state(job_id, "complete")
    start, *messages, end = whole(rest, kubectl, job_id, printed=3)
    assert start == START
    assert end.startswith("done execution with [complete]")
    assert messages[:4] == [
        "\r 10%\r 50%\r100%",
        "\x1b[1;31mred\x1b[0m and \x1b[Kerased",
        "lone \\udcff, nul \\x00, ä, \u2028, two\nlines, and no more ",
        "",
    ]
    lines = [""]
    for piece in messages[4:]:
        lines[-1] += piece.removesuffix(CONTINUED)
        if not piece.endswith(CONTINUED):
            lines.append("")
    assert lines == ["x" * MIB, "x" * 3 * MIB, ""]


def test_a_job_class_that_dies_at_once(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(ODD, die=True, attempts=1)
    document = rest.wait_state(job_id, "error")
    *messages, end = whole(rest, kubectl, job_id)
    # From one stream; the interpreter's lines come from the other, so their order is not fixed.
    crash = [text for text in messages if text != START]
    assert len(messages) - len(crash) == 1 or dropped(document, START)
    assert crash[:1] == [CRASH] or (not crash and dropped(document, CRASH))
    assert end.startswith("done execution with [error]")
    assert "exit code 139" in end


# It never writes lines 4 and 5, since no test can make the container runtime drop them.
CUT_SHORT = """
import json, time
for n in (1, 2, 3):
    line = {"core4": 1, "n": n, "type": "log", "time": time.time(), "level": "INFO"}
    print(json.dumps({**line, "message": f"line {n}"}, separators=(", ", ": ")))
with open("/dev/termination-log", "w") as file:
    json.dump({"state": "complete", "lines": 5}, file)
"""


def test_last_lines_that_are_missing_are_named(rest: Rest, kubectl: Kubectl, image: str):
    job_id = python(rest, kubectl, image, "CutShort", CUT_SHORT)
    rest.wait_state(job_id, "complete")
    log = settled(kubectl, job_id)
    assert (log["lost"], log["reason"]) == (True, "Truncated")
    words = "lines 4 to 5 are missing at the log's end: the container reported 5 lines"
    assert log["message"] == words
    with rest.follow(job_id) as stream:
        stream.to_close()
    assert stream.messages[:3] == ["line 1", "line 2", "line 3"]
    (gap,) = stream.of("gap")
    assert gap["reason"] == words


PLAIN = r"""
import sys
out = sys.stdout.buffer
out.write(b"\r 10%\r 50%\r100%\n")
out.write(b"\x1b[1;31mred\x1b[0m and \x1b[Kerased\n")
out.write(b"\xff\xfe bad, \xc3\xa4 good, \xe2\x82 cut off\n")
out.write(b"a\x00b\n")
out.write(b"\n")
out.write(b"   \n")
out.write(b"no line end")
out.flush()
"""


def test_progress_bars_colours_and_bad_bytes(rest: Rest, kubectl: Kubectl, image: str):
    job_id = python(rest, kubectl, image, "Odd", PLAIN)
    assert whole(rest, kubectl, job_id) == [
        "\r 10%\r 50%\r100%",
        "\x1b[1;31mred\x1b[0m and \x1b[Kerased",
        "\\xff\\xfe bad, ä good, \\xe2\\x82 cut off",
        "a\\x00b",
        "",
        "   ",
        "no line end",
    ]


LONG = f"""
import sys
sys.stdout.write("a" * {MIB} + "\\n")
sys.stdout.write("b" * (3 * {MIB}) + "\\n")
sys.stdout.write("the end\\n")
"""


def test_lines_of_1_and_of_3_mebibytes(rest: Rest, kubectl: Kubectl, image: str):
    job_id = python(rest, kubectl, image, "Long", LONG)
    rest.wait_state(job_id, "complete")
    first, *pieces, last = whole(rest, kubectl, job_id)
    assert first == "a" * MIB
    assert pieces == ["b" * MIB + " [continued]"] * 2 + ["b" * MIB]
    assert last == "the end"


# --- many lines, and none ----------------------------------------------------------------------


def test_100000_lines_at_once(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(BURST, count=MANY)
    rest.wait_state(job_id, "complete")
    start, *lines, end = whole(rest, kubectl, job_id)
    assert start == START
    assert lines == [f"line {number} of {MANY}" for number in range(1, MANY + 1)]
    assert end.startswith("done execution with [complete]")


def test_100000_unnumbered_lines_at_once(rest: Rest, kubectl: Kubectl, image: str):
    script = f"print(*range({MANY}), sep=chr(10))"
    job_id = python(rest, kubectl, image, "Many", script)
    rest.wait_state(job_id, "complete")
    assert whole(rest, kubectl, job_id) == [str(number) for number in range(MANY)]


def test_an_empty_log(rest: Rest, kubectl: Kubectl, image: str):
    job_id = command(rest, kubectl, image, "Silent", ["true"])
    rest.wait_state(job_id, "complete")
    assert whole(rest, kubectl, job_id) == []


# --- early and sudden ends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "script", "lines"),
    [
        ("Dies", "exit 9", []),
        ("Says", "echo once; exit 137", ["once"]),
        ("Ends", "echo once; exit 3", ["once"]),
    ],
)
def test_a_job_that_dies_in_its_first_milliseconds(
    rest: Rest, kubectl: Kubectl, image: str, name: str, script: str, lines: list[str]
):
    job_id = command(rest, kubectl, image, name, ["sh", "-c", script])
    document = rest.wait_state(job_id, "error")
    kept = whole(rest, kubectl, job_id)
    assert kept == lines or (not kept and all(dropped(document, line) for line in lines))


def test_a_job_that_is_killed_while_it_writes(rest: Rest, kubectl: Kubectl):
    with rest.run(CHATTY, rate=2000, seconds=120, size=60) as stream:
        job_id = stream.line("2000 ")["identifier"]
        rest.kill(job_id)
        stream.to_close()
    assert stream.states[-1] == "killed"
    messages = whole(rest, kubectl, job_id)
    assert stream.messages == messages
    numbers = leading(messages)
    assert len(numbers) >= 2000
    assert numbers == list(range(1, len(numbers) + 1))
    assert messages[-1].startswith("done execution with [killed]")


COUNTING = """
import itertools, time
for number in itertools.count(1):
    print(number, "x" * 50)
    if number % 20 == 0:
        time.sleep(0.01)
"""


def test_a_container_that_is_killed_while_it_writes(rest: Rest, kubectl: Kubectl, image: str):
    job_id = python(rest, kubectl, image, "Counting", COUNTING)
    with rest.follow(job_id) as stream:
        stream.line("2000 ")
        rest.kill(job_id)
        stream.to_close()
    assert stream.states[-1] == "killed"
    numbers = leading(whole(rest, kubectl, job_id))
    assert len(numbers) >= 2000
    assert numbers == list(range(1, len(numbers) + 1))
