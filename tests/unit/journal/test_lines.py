"""Splitting the kubelet's stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_journal.recorder.ingest import lines
from corejob_journal.recorder.ingest.lines import LineSplitter, LogLine

STAMP = b"2026-11-24T03:00:00.123456789Z "
NS = 1_795_489_200_123_456_789


def split(*chunks: bytes) -> list[LogLine]:
    splitter = LineSplitter()
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    splitter.close()
    return found + splitter.rest()


def test_a_line() -> None:
    assert split(STAMP + b"text\n") == [LogLine(NS, b"text")]


def test_empty_text_and_no_end() -> None:
    assert split(STAMP + b"\n" + STAMP + b"last") == [LogLine(NS, b""), LogLine(NS, b"last")]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"2026-11-24T03:00:00Z ", NS - 123_456_789),
        (b"2026-11-24T03:00:00.5Z ", NS - 123_456_789 + 500_000_000),
        (b"2026-11-24T05:00:00.123456789+02:00 ", NS),
    ],
)
def test_other_forms_of_time(text: bytes, ns: int) -> None:
    assert split(text + b"x\n") == [LogLine(ns, b"x")]


@pytest.mark.parametrize(
    "text",
    [b"unable to retrieve container logs for x", b"2026-13-24T03:00:00.123456789Z x\n", b"\n"],
)
def test_words_of_the_kubelet(text: bytes) -> None:
    splitter = LineSplitter()
    found = splitter.feed(STAMP + b"text\n" + text)
    splitter.close()
    assert found == [LogLine(NS, b"text")]
    assert splitter.error_text == text.decode().rstrip("\n")
    assert splitter.feed(STAMP + b"more\n") == []


@given(
    bodies=st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"")), max_size=8),
    cuts=st.lists(st.integers(0, 700), max_size=12),
)
def test_chunks_do_not_matter(bodies: list[bytes], cuts: list[int]) -> None:
    """Also with overlong lines: the pieces do not depend on the chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE", 16)
        patch.setattr(lines, "_LONGEST", 16 + 64)
        data = b"".join(STAMP + body + b"\n" for body in bodies)
        whole = split(data)
        places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
        pieces = [data[a:b] for a, b in itertools.pairwise(places)]
        assert split(*pieces) == whole
        ends = [index for index, line in enumerate(whole) if line.last]
        starts = [0, *(end + 1 for end in ends)]
        joined = [
            b"".join(line.body for line in whole[a : b + 1])
            for a, b in zip(starts, ends, strict=False)
        ]
        assert joined == bodies
        assert all(len(line.body) <= 16 for line in whole)


def test_a_cut_keeps_characters_whole() -> None:
    body = ("x" + "ä" * 2**20).encode()
    found = split(STAMP + body + b"\n")
    assert [line.part for line in found] == [0, 1, 2]
    assert [line.last for line in found] == [False, False, True]
    assert "".join(line.body.decode() for line in found).encode() == body
