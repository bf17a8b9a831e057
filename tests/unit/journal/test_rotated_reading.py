"""A reader of rotated files stores no line twice, none out of order, and names each gap.

It may lag, its connection may break, and it may be restarted. The runtime may rotate in the middle
of a line, and the kubelet may repeat a file.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_apiserver.logs import stamp_text
from tests.unit.journal.kubelet import Entry, served

from corejob_journal.recorder.ingest import rotation
from corejob_journal.recorder.ingest.intake import LogIntake
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.lines import LineSplitter, last_line
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.store.records import LogPosition, StreamState

NS = 10**9
START = 1_795_500_000 * NS
ROOM = 6
HALF = re.compile(r"\[(\d+)([ab])\]")


@pytest.fixture(autouse=True)
def in_time() -> None:
    """Leave the limits as they are: these tests have a clock of their own."""


@dataclass
class Files:
    """A container's log: files of entries, the newest one last.

    The runtime keeps the first half of a line until the second one, or a rotation, comes.
    """

    at: int = START
    files: list[list[Entry]] = field(default_factory=lambda: [[]])
    written: int = 0
    rotated_at: int = START
    held: bytes = b""
    half: bool = False

    def write(self, *, half: bool) -> None:
        """Write a half of a line, or up to the next line end."""
        self.at += 1000
        if not self.half:
            self.held, self.half = f"[{self.written}a]".encode(), True
            if half:
                return
        self.files[-1].append(Entry(self.at, self.held + f"[{self.written}b]".encode()))
        self.held, self.half = b"", False
        self.written += 1

    def rotate(self) -> None:
        """Begin a new file, at most as often as the kubelet looks at the files' sizes."""
        self.at = max(self.at, self.rotated_at + round(rotation.SHORTEST_LIFE_S * NS))
        self.rotated_at = self.at
        if self.held:
            self.files[-1].append(Entry(self.at, self.held, full=False))
            self.held = b""
        self.files.append([])

    async def first_entry(self) -> tuple[int, bytes] | None:
        """Return the first entry of the newest file, as `LogReader` does."""
        entries = self.files[-1]
        return (entries[0].stamp, entries[0].text) if entries else None


class Following:
    """The kubelet's response to a request that follows the log.

    It waits while `ROOM` entries are on their way to the reader.
    """

    def __init__(self, log: Files, since: int = 0) -> None:
        self._log = log
        self._since = since
        self._file = log.files[-1]
        self._index = 0
        self._seen = len(log.files)
        self._at_line_start = True
        self._sent: list[bytes] = []

    def go_on(self) -> None:
        """Send a file to its end, then the newest one, once for each rotation since."""
        while len(self._sent) < ROOM:
            if self._index == len(self._file):
                if self._seen == len(self._log.files):
                    return
                self._seen += 1
                self._file, self._index = self._log.files[-1], 0
                continue
            entry = self._file[self._index]
            self._index += 1
            stamp = stamp_text(entry.stamp).encode() + b" " if self._at_line_start else b""
            self._at_line_start = entry.full
            if entry.stamp >= self._since:
                self._sent.append(stamp + entry.text + (b"\n" if entry.full else b""))

    def read(self, most: int) -> bytes:
        """Return what has arrived: at most so many entries."""
        body, self._sent = b"".join(self._sent[:most]), self._sent[most:]
        return body


class Appender:
    """Stores at once."""

    is_busy = is_full = False

    def __init__(self, ingest: LogIngest, stored: list[str | None]) -> None:
        self._ingest = ingest
        self._stored = stored

    def send(self) -> None:
        """Store the texts of what was taken; None for each gap."""
        for append in self._ingest.flush():
            self._stored += [None for _ in append.gaps]
            self._stored += [record.message for record in append.records]


WRITE = st.tuples(st.sampled_from(["lines", "halves"]), st.integers(1, 4))
STEPS = st.one_of(
    WRITE,
    WRITE,
    st.tuples(st.just("pass"), st.sampled_from([1, NS // 10, NS, 3 * NS])),
    st.tuples(st.sampled_from(["rotate", "break", "restart"]), st.just(1)),
    st.tuples(st.just("read"), st.integers(1, ROOM)),
)


class Recorder:
    """Takes what the connections to the log bring.

    Attributes:
        stored: The texts that were stored; None for each gap.
    """

    def __init__(self, log: Files) -> None:
        self.log = log
        self.stored: list[str | None] = []
        self.start(LogPosition())
        self.connect()

    def start(self, position: LogPosition) -> None:
        """Begin as a process does, with what was stored."""
        state = StreamState(1, 1, "a" * 24, 1, "u", 0, position, False, False, False)
        self.ingest = LogIngest(state)
        child = SimpleNamespace(name="p", termination_message=None, restarts=False)
        pod: Any = SimpleNamespace(newest=SimpleNamespace(child=child, core4=False))
        nothing: Any = None
        self.appender: Any
        self.appender = Appender(self.ingest, self.stored)
        sequence = LineSequence(nothing, "ns", pod, cast("Any", self.log), self.ingest)
        self.intake = LogIntake(pod, self.ingest, sequence, self.appender, nothing, nothing)

    def connect(self) -> None:
        """Follow the log from the position on."""
        self.intake.begin(whole=False)
        since = self.ingest.since
        self.response = Following(self.log, (since or 0) * NS)
        self.splitter = LineSplitter(since=since is not None, follow=True)

    async def step(self, what: str, count: int) -> None:
        """Let the container, the kubelet or the recorder do something."""
        match what:
            case "pass":
                self.log.at += count
            case "rotate":
                self.log.rotate()
            case "break":
                self.connect()
            case "restart":
                self.start(self.ingest.position)
                self.connect()
            case "read":
                await self.feed(self.response.read(count))
            case _:
                for _ in range(count):
                    self.log.write(half=what == "halves")
                    self.response.go_on()
        self.response.go_on()

    async def feed(self, body: bytes) -> None:
        if lines := self.splitter.feed(body):
            await self.intake.take(lines)

    async def finish(self) -> None:
        """Read until another connection brings nothing new, as `LogFollower` does."""
        while body := self.response.read(ROOM):
            await self.feed(body)
            self.response.go_on()
        tail, place = self.splitter.rest(), None
        while place != self.ingest.position:
            place = self.ingest.position
            whole = self.intake.is_sure and not self.ingest.place_lost
            self.intake.begin(whole=whole)
            self.splitter = LineSplitter(since=True)
            since = stamp_text((self.ingest.since or 0) * NS)
            newest = self.log.files[-1]
            await self.feed(served(newest, {"timestamps": "true", "sinceTime": since}))
            rest = self.splitter.rest()
            tail = last_line(tail, rest) if place == self.ingest.position else rest
        await self.intake.end(tail)
        self.appender.send()


async def run(steps: list[tuple[str, int]]) -> tuple[Files, list[str | None]]:
    """Return the log, and what was stored of it."""
    log = Files()
    with patch("time.time", lambda: log.at / NS):
        recorder = Recorder(log)
        for what, count in [("lines", 1), ("read", 1), *steps]:
            await recorder.step(what, count)
        await recorder.finish()
    return log, recorder.stored


def halves(stored: list[str | None]) -> list[int | None]:
    """Return a number for each half of a line; None for each gap.

    If a file only has the rest of a line when it is repeated, that rest comes twice: nothing tells
    it from a new line.
    """
    found: list[int | None] = []
    before = ""
    for text in stored:
        if text is None:
            found.append(None)
            continue
        if not before.endswith(text):
            matches = HALF.findall(text)
            assert text == "".join(f"[{number}{half}]" for number, half in matches)
            found += [2 * int(number) + (half == "b") for number, half in matches]
        before = text
    return found


@settings(max_examples=1000, deadline=None)
@given(steps=st.lists(STEPS, max_size=40), left_over=st.sampled_from([0, 2**16]))
async def test_no_line_twice_none_out_of_order_and_each_gap_is_named(
    steps: list[tuple[str, int]], left_over: int
) -> None:
    with patch.object(rotation, "_LEFT_OVER_BYTES", left_over):
        log, stored = await run(steps)
    found = halves(stored)
    numbers = [number for number in found if number is not None]
    assert numbers == sorted(set(numbers))
    written = 2 * log.written + (log.half and not log.held)
    for before, after in pairwise([*numbers, written]):
        if after != before + 1:
            # The gap stands before the half of a line that the log ends with.
            place = found.index(before) - (after == written)
            assert None in found[place:], (before, after)
    if len(log.files) == 1:
        assert None not in found
