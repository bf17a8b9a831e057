"""The parser of server-sent events, in whatever pieces the bytes come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core4.client.sse import Comment, Message, SseError, SseParser

LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


def parse(pieces):
    parser = SseParser()
    return [item for piece in pieces for item in parser.feed(piece)]


def pieces_of(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(
    st.lists(
        st.one_of(LINE, st.sampled_from(["", "data: x", "id: 7", ": c", "event: log"])), max_size=20
    ),
    st.lists(ENDS, min_size=20, max_size=20),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_pieces_make_no_difference(lines, ends, cuts):
    data = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    whole = parse([data])
    assert parse(pieces_of(data, cuts)) == whole
    assert parse([data[at : at + 1] for at in range(len(data))]) == whole


@given(
    st.lists(st.tuples(LINE.filter(bool), st.lists(LINE, min_size=1, max_size=3)), max_size=6),
    ENDS,
    st.lists(st.integers(0, 500), max_size=12),
)
def test_every_message_arrives_as_it_was_sent(messages, end, cuts):
    text = ""
    for number, (event, data) in enumerate(messages):
        text += f"event: {event}{end}id: {number}{end}"
        text += "".join(f"data: {line}{end}" for line in data) + f": comment{end}{end}"
    sent = [
        Message(event, "\n".join(data), str(number))
        for number, (event, data) in enumerate(messages)
    ]
    assert parse(pieces_of(text.encode(), cuts)) == sent


@given(st.binary(max_size=200), st.lists(st.integers(0, 500), max_size=12))
def test_any_bytes_are_parsed_or_refused(data, cuts):
    try:
        whole = parse([data])
    except SseError:
        whole = None
    try:
        assert parse(pieces_of(data, cuts)) == whole
    except SseError:
        assert whole is None


def test_fields_as_the_standard_says():
    assert parse([b"\xef\xbb\xbfdata:a\ndata: b\ndata\nretry: 5\nnew: x\n\n"]) == [
        Message("message", "a\nb\n", None)
    ]
    assert parse([b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n"]) == [
        Message("message", "a", "7"),
        Message("message", "b", "7"),
        Message("message", "c", ""),
    ]
    assert parse([b"id: a\0b\ndata: a\n\n"]) == [Message("message", "a", None)]
    assert parse([b": keep-alive\nid: 9\n\n: keep-alive\n\n\n\nevent: x\n\n"]) == [
        Comment("9"), Comment("9"), Comment("9"),
    ]  # fmt: skip


def test_a_message_without_its_end_is_dropped():
    assert parse([b"data: a\n\ndata: b\n"]) == [Message("message", "a", None)]
    assert parse([b"data: \xc3"]) == []


def test_a_message_without_an_end_is_refused():
    parser = SseParser(most=100)
    for _ in range(10):
        assert parser.feed(b"data: abcd") == []
    with pytest.raises(SseError, match="more than 100 bytes"):
        parser.feed(b"x")


def test_many_messages_are_no_long_message():
    parser = SseParser(most=100)
    assert sum(len(parser.feed(b"data: abcd\n\n")) for _ in range(100)) == 100
