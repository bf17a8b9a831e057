"""A line that is older than those before it: the file is repeated, or the clock was set back."""

from types import SimpleNamespace
from typing import Any

import pytest

from corejob_journal.recorder.ingest import line_sequence
from corejob_journal.recorder.ingest.line_sequence import LineSequence
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.store.records import LogPosition, StreamState
from corejob_kube.errors import UnavailableError

START = 1_795_500_000 * 10**9
Entry = tuple[int, bytes] | None


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once."""
    monkeypatch.setattr(line_sequence, "_LOOK_AGAIN_S", (0.0,) * 5)


class NewestFile:
    """Answers looks at the newest file's first entry, the last answer again and again."""

    def __init__(self, *answers: Entry | Exception) -> None:
        self.answers = list(answers)
        self.looks = 0

    async def first_entry(self) -> Entry:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def line(second: float) -> LogLine:
    return LogLine(START + round(second * 10**9), str(second).encode())


def entry(second: float) -> Entry:
    return line(second).stamp, b"text"


async def taken(newest: NewestFile, *seconds: float) -> list[float]:
    """Return the seconds of lines that are taken, one after the other."""
    state = StreamState(1, 1, "a" * 24, 1, "u", 0, LogPosition(), False, False, False)
    ingest = LogIngest(state)
    pod: Any = SimpleNamespace(newest=SimpleNamespace(child=SimpleNamespace(name="p")))
    reader: Any = newest
    kube: Any = None
    sequence = LineSequence(kube, "ns", pod, reader, ingest)
    for second in seconds:
        await sequence.take([line(second)])
    return [float(record.message) for append in ingest.flush() for record in append.records]


GONE = UnavailableError(503, "Kubelet", "the node does not answer")


@pytest.mark.parametrize("first", [(), (None,), (None, None), (GONE, None), (None, GONE)])
async def test_a_file_is_repeated_while_the_newest_one_has_no_entry_yet(
    first: tuple[Exception | None, ...],
) -> None:
    """Each rotation leaves no file, or an empty one, for a moment."""
    newest = NewestFile(*first, entry(10))
    assert await taken(newest, 1, 2, 5, 1, 2, 5, 6) == [1, 2, 5, 6]
    assert newest.looks == len(first) + 1


async def test_the_clock_was_set_back() -> None:
    assert await taken(NewestFile(entry(1)), 1, 9, 3, 4, 5) == [1, 9, 3, 4, 5]


async def test_a_log_that_cant_be_looked_at_loses_no_line() -> None:
    newest = NewestFile(None)
    assert await taken(newest, 1, 9, 3, 4) == [1, 9, 3, 4]
    assert newest.looks == 6


async def test_a_line_that_may_begin_a_repeated_file() -> None:
    """Nothing follows it yet, so that only a look can tell."""
    assert await taken(NewestFile(entry(1.5)), 1, 2, 1.5, 2.1) == [1, 2, 2.1]
    assert await taken(NewestFile(entry(1)), 1, 2, 1.5, 2.1) == [1, 2, 1.5, 2.1]
    assert await taken(NewestFile(None), 1, 2, 1.5, 2.1) == [1, 2, 1.5, 2.1]


async def test_a_file_of_one_line_that_is_repeated() -> None:
    assert await taken(NewestFile(entry(1)), 1, 1, 1, 2) == [1, 2]
    assert await taken(NewestFile(entry(0.5)), 1, 1, 2) == [1, 1, 2]
