"""Lines that the container runtime stores in parts: whole, once and in order, despite breaks."""

import asyncio
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_apiserver.logs import stamp_text
from tests.unit.journal.kubelet import Entry, Kubelet, served

from corejob.children import PodChild
from corejob_journal.recorder.ingest import lines
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.ingest.pods import JobPod
from corejob_journal.recorder.ingest.reading import LogReader, UnclearError
from corejob_journal.store.records import LogPosition, NewRecord, StreamState
from corejob_kube.client import Kube
from corejob_kube.errors import UnavailableError
from corejob_process.clock import system_clock

NS = 10**9
START = 1_795_500_000 * NS
_CHILD = PodChild("p", "p", 1, "uid", False, "Running", None, None, "n", system_clock())
BEGIN = LogPosition()


def state(position: LogPosition = BEGIN, token: int = 0) -> StreamState:
    return StreamState(1, 1, "a" * 24, 1, "uid", token, position, False, False, False)


def reader_of(kubelet: Kubelet) -> LogReader:
    pod = JobPod(_CHILD, source=None, container="job", core4=False, attempts_left=1)  # type: ignore[arg-type]
    return LogReader(cast("Kube", kubelet), "ns", pod)


class Recorder:
    """Follower and store without waiting."""

    def __init__(self, kubelet: Kubelet) -> None:
        self.kubelet = kubelet
        self.ingest = LogIngest(state())
        self.stored: list[NewRecord] = []
        self.reader = reader_of(kubelet)
        self.from_start = False

    async def connect(self) -> bool:
        """Read once; return False if the connection broke or what it delivered was unclear."""
        ingest = self.ingest
        ingest.resume()
        since = None if self.from_start else ingest.since
        self.from_start = False
        chunks = self.reader.read(since=since, follow=True, surely=ingest.surely)
        try:
            async for taken in chunks:
                self.take(taken)
        except UnavailableError:
            return False
        except UnclearError:
            self.from_start = True
            return False
        finally:
            self.keep()
        return True

    def take(self, some: list[lines.LogLine]) -> None:
        """Take lines; no file is repeated."""
        start = 0
        while (start := self.ingest.take(some, start)) < len(some):
            assert self.ingest.may_begin_file(some[start])
            self.ingest.accept(some[start])

    def keep(self) -> None:
        for append in self.ingest.flush():
            self.stored += append.records

    def restart(self) -> None:
        """Continue as another process, from the stored position."""
        self.ingest = LogIngest(state(self.ingest.position, 1))
        self.reader = reader_of(self.kubelet)

    async def finish(self) -> None:
        """Read an ended container's log until a connection delivers nothing new."""
        for _ in range(5):
            place = self.ingest.position
            if await self.connect() and self.ingest.position == place:
                break
        else:
            pytest.fail("the log does not come to an end")
        tail = self.reader.splitter.rest()
        self.take(tail)
        self.keep()

    def texts(self) -> list[str]:
        found, whole = [], ""
        for record in self.stored:
            whole += record.message.removesuffix(" [continued]")
            if not record.message.endswith(" [continued]"):
                found.append(whole)
                whole = ""
        assert not whole
        return found


def time_like(ns: int) -> bytes:
    return stamp_text(START + ns).encode() + b" "


PARTS = st.one_of(
    st.text("ab", min_size=1, max_size=12).map(str.encode),
    # A part may begin like the kubelet's timestamp, or like one of its error messages.
    st.integers(0, 6 * NS).map(lambda ns: time_like(ns) + b"x"),
    st.sampled_from([b"unable to retrieve", b"failed to open", b"x" * 40, b"y" * 90]),
)
GAPS = st.sampled_from([0, 1, 1000, NS // 3, NS // 2, NS, 3 * NS])
LINES = st.lists(st.lists(st.tuples(GAPS, PARTS), min_size=1, max_size=5), min_size=1, max_size=12)


def log_of(written: list[list[tuple[int, bytes]]]) -> tuple[list[Entry], list[str]]:
    """Return the entries of the runtime's file, and the lines that were written."""
    entries: list[Entry] = []
    at = START
    for parts in written:
        for index, (gap, text) in enumerate(parts):
            at += gap
            entries.append(Entry(at, text, full=index == len(parts) - 1))
    return entries, [b"".join(text for _, text in parts).decode() for parts in written]


@settings(max_examples=400, deadline=None)
@given(
    written=LINES,
    open_end=st.booleans(),
    steps=st.lists(
        st.tuples(st.integers(0, 60), st.none() | st.integers(0, 500), st.booleans()), max_size=8
    ),
    chunk=st.sampled_from([1, 3, 64, 2**16]),
    longest=st.sampled_from([16, 2**20]),
)
def test_lines_in_parts_are_stored_once_and_in_order_wherever_connections_break(
    written: list[list[tuple[int, bytes]]],
    open_end: bool,
    steps: list[tuple[int, int | None, bool]],
    chunk: int,
    longest: int,
) -> None:
    entries, texts = log_of(written)
    if open_end:
        entries[-1] = Entry(entries[-1].stamp, entries[-1].text, full=False)

    async def run() -> list[str]:
        kubelet = Kubelet()
        kubelet.chunk = chunk
        recorder = Recorder(kubelet)
        for length, cut, restart in sorted(steps, key=lambda step: step[0]):
            # The log grows with each round; the connection breaks off within it.
            kubelet.entries, kubelet.cut = entries[:length], cut
            await recorder.connect()
            if restart:
                recorder.restart()
        kubelet.entries, kubelet.cut = entries, None
        await recorder.finish()
        return recorder.texts()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE", longest)
        patch.setattr(lines, "_LONGEST", longest + 64)
        assert asyncio.run(run()) == texts


@pytest.mark.parametrize("restart", [False, True])
def test_every_byte_of_a_log_with_a_long_line_may_be_the_last_of_a_connection(
    restart: bool,
) -> None:
    parts = [(NS // 3, b"A" * 20), (NS, time_like(0) + b"B"), (NS, b"C")]
    entries, texts = log_of([[(0, b"begin")], parts, [(NS, b"next")], parts, [(0, b"end")]])

    async def run(cut: int) -> list[str]:
        kubelet = Kubelet(entries)
        kubelet.cut = cut
        recorder = Recorder(kubelet)
        await recorder.connect()
        if restart:
            recorder.restart()
        await recorder.finish()
        return recorder.texts()

    for cut in range(len(served(entries, {"timestamps": "true"}))):
        assert asyncio.run(run(cut)) == texts


def test_the_rest_of_a_line_that_looks_like_a_line_is_told_by_a_second_request() -> None:
    fake = time_like(3 * NS) + b"not a line"
    entries, texts = log_of(
        [[(0, b"a" * 20), (NS, fake)], [(NS // 2, b"b")], [(NS * 7 // 10, b"c")]]
    )

    async def run() -> Recorder:
        recorder = Recorder(Kubelet(entries))
        await recorder.connect()
        recorder.restart()
        await recorder.finish()
        return recorder

    recorder = asyncio.run(run())
    assert recorder.texts() == texts
    since = recorder.kubelet.requests[-1]["sinceTime"]
    assert served(entries, {"timestamps": "true", "sinceTime": since}).startswith(fake)
    assert any("limitBytes" in request for request in recorder.kubelet.requests)


def test_a_reconnect_asks_twice_only_after_a_restart() -> None:
    entries, _ = log_of([[(0, b"a")], [(NS, b"b")]])

    async def run(restart: bool) -> int:
        recorder = Recorder(Kubelet(entries))
        await recorder.connect()
        if restart:
            recorder.restart()
        await recorder.connect()
        return len(recorder.kubelet.requests)

    assert (asyncio.run(run(False)), asyncio.run(run(True))) == (2, 3)


WORDS = b"failed to create fsnotify watcher: too many open files"


def test_words_after_a_line_without_an_end_are_not_part_of_it() -> None:
    entries = [Entry(START, b"a"), Entry(START + 1, b"no end", full=False)]

    async def run() -> list[str]:
        kubelet = Kubelet(entries)
        recorder = Recorder(kubelet)
        kubelet.words = WORDS
        assert not await recorder.connect()
        assert recorder.reader.splitter.error_text == WORDS.decode()
        await recorder.finish()
        return recorder.texts()

    assert asyncio.run(run()) == ["a", "no end"]


@pytest.mark.parametrize("words", [WORDS, b"words of a kubelet of the future"])
def test_words_in_place_of_a_log_are_not_taken_for_the_rest_of_a_line(words: bytes) -> None:
    entries = [Entry(START, b"a"), Entry(START + 3 * NS, b"b")]

    async def run() -> Recorder:
        kubelet = Kubelet(entries)
        recorder = Recorder(kubelet)
        await recorder.connect()
        kubelet.entries, kubelet.words = [], words
        assert not await recorder.connect()
        kubelet.words = words
        assert not await recorder.connect()
        assert recorder.reader.splitter.error_text == words.decode()
        kubelet.entries = entries
        await recorder.finish()
        return recorder

    recorder = asyncio.run(run())
    assert recorder.texts() == ["a", "b"]
    assert recorder.kubelet.requests[-1].get("sinceTime")
