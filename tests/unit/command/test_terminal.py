"""The real command in a pseudo-terminal: colours, width, the changing line, a reader that goes."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import terminals
from tests.unit.client.raw_server import RawServer
from tests.unit.client.story import JOB, Story, document
from tests.unit.command.conftest import IDS, FakeCore4, job

from core4.command import terminal
from core4.command.connection import Connection

CORE4 = str(Path(sys.executable).parent / "core4")


def at_terminal(url: str, *args: str, columns: int = 100, **environ: str) -> str:
    """Run the command in a terminal, and return all that it wrote there."""
    given = {**os.environ, "CORE4_URL": url, "TERM": "xterm", "COLUMNS": "", **environ}
    _, written = terminals.run([CORE4, *args], given, columns=columns)
    return written


def screen(written: str) -> list[str]:
    """Return the lines that stay on the screen, without colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", written).replace("\r\n", "\n").split("\n")
    return [re.split(r"\r\x1b\[K", line)[-1] for line in lines]


def test_a_table_has_colours_and_the_width_of_the_terminal(
    server: RawServer, fake: FakeCore4
) -> None:
    fake.queue = [job(0, message="a long message " * 20)]
    written = at_terminal(server.url, "ls", "-o", "wide", columns=60)
    assert "\x1b[" in written
    assert "…" in written
    assert all(len(line) <= 60 for line in screen(written))
    assert "\x1b[3" not in at_terminal(server.url, "ls", NO_COLOR="1")


def test_ages_are_relative_at_a_terminal(server: RawServer, fake: FakeCore4) -> None:
    fake.queue = [job(0)]
    assert "2026-11-24T" not in at_terminal(server.url, "ls")


@pytest.mark.parametrize("columns", [20, 100])
def test_the_changing_line_leaves_the_log_whole(
    server: RawServer, fake: FakeCore4, columns: int
) -> None:
    steps: list[tuple[str, Any]] = [("state", document("pending", message="wait 進捗 " * 9))]
    for number in range(40):
        prog = {"value": number / 40, "message": "進捗 " * 9}
        steps += [("state", document("running", prog=prog)), ("log", f"line {number}")]
    fake.story = Story([*steps, ("state", document("complete"))])
    written = at_terminal(server.url, "follow", JOB, columns=columns)
    lines = screen(written)
    told = [line for line in lines if line.startswith("INFO")]
    assert told == [f"INFO     line {number}" for number in range(40)]
    assert lines[-2] == "-- complete --"
    assert "█" not in "".join(lines)
    for change in re.findall(r"\r\x1b\[K([^\r\n]+)", written):
        if "░" in change:
            assert sum(2 if ord(char) > 0x2E80 else 1 for char in change) < columns


def test_a_pipe_gets_no_colours_and_no_changing_line(server: RawServer, fake: FakeCore4) -> None:
    result = subprocess.run(
        [CORE4, "follow", JOB], env={**os.environ, "CORE4_URL": server.url},
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert b"\x1b" not in result.stdout + result.stderr


def test_a_reader_that_has_seen_enough(server: RawServer, fake: FakeCore4) -> None:
    fake.queue = [job(number, message="x" * 5000) for number in range(60)]
    process = subprocess.Popen(
        [CORE4, "ls", "-o", "jsonl"], env={**os.environ, "CORE4_URL": server.url},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert IDS[0].encode() in process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize(
    ("environ", "color", "is_tty", "expected"),
    [
        ({}, "auto", True, True),
        ({}, "auto", False, False),
        ({"NO_COLOR": "1"}, "auto", True, False),
        ({"NO_COLOR": "1"}, "always", False, True),
        ({"CLICOLOR_FORCE": "1"}, "auto", False, True),
        ({"CLICOLOR_FORCE": "0"}, "auto", False, False),
        ({"CLICOLOR": "0"}, "auto", True, False),
        ({"TERM": "dumb"}, "auto", True, False),
        ({}, "never", True, False),
    ],
)
def test_colours(environ: dict[str, str], color: str, is_tty: bool, expected: bool) -> None:
    class Stream:
        def isatty(self) -> bool:
            return is_tty

    stream: Any = Stream()
    assert terminal.has_colour(Connection(color=color), stream, environ) is expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("plain ✅\ttab", "plain ✅\ttab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x9b31mx", "x"),
        ("cut \x1b[3", "cut 3"),
        ("a\rb\x08c\x00", "abc"),
        ("\u202eright to left\u2066", "right to left"),
    ],
)
def test_control_sequences_are_left_out(text: str, plain: str) -> None:
    assert terminal.clean(text) == plain
