"""Everything written is read before the process ends."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core4.runner.interrupt import Interrupt
from core4.runner.wire import Wire, unread

LONG = 60.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_the_unread_bytes_of_a_pipe_are_counted(pipe: tuple[int, int], tmp_path: Path):
    out, into = pipe
    assert unread(into) == 0
    os.write(into, b"seven..")
    assert unread(into) == 7
    os.read(out, 4)
    assert unread(into) == 3
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, b"text")
    os.lseek(file, 0, os.SEEK_SET)
    assert unread(file) == 0
    os.close(file)
    assert unread(file) == 0


def test_it_waits_until_all_is_read(pipe: tuple[int, int]):
    out, into = pipe
    wire = Wire(into, Interrupt())
    wire.send("done", {"state": "complete"}, last=True)
    drained = threading.Event()

    def drain() -> None:
        wire.drain(LONG)
        drained.set()

    waiting = threading.Thread(target=drain)
    waiting.start()
    assert os.read(out, 1) == b"{"
    assert not drained.is_set()
    os.read(out, 10_000)
    assert drained.wait(LONG)
    waiting.join()


def test_the_last_number_counts_a_line_that_nobody_can_read():
    out, into = os.pipe()
    wire = Wire(into, Interrupt())
    assert wire.last_number == 0
    wire.write("log", [b"{}", b"{}"], at=1.0)
    assert wire.last_number == 2
    os.close(out)
    wire.send("log", {"message": "unheard"})
    assert wire.last_number == 3
    os.close(into)


def test_it_does_not_wait_for_ever(pipe: tuple[int, int]):
    _, into = pipe
    wire = Wire(into, Interrupt())
    wire.send("done", {"state": "complete"}, last=True)
    wire.drain(0.01)
    assert unread(into) > 0
