"""Parsing of lines."""

import pytest

from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.protocol import DoneEvent, LogEvent, PlainLine, parse


def test_events() -> None:
    log = parse(
        b'{"core4": 1, "n": 3, "type": "log", "time": 1.5, "level": "ERROR", "message": "x"}'
    )
    assert isinstance(log, LogEvent)
    record = protocol.record(log, log.n, log.time)
    assert (record.n, record.epoch, record.levelno, record.message) == (3, 1.5, 40, "x")
    assert isinstance(
        parse(b'{"core4":1,"n":4,"type":"done","time":1,"state":"complete"}'), DoneEvent
    )


def test_key_order_is_of_no_matter() -> None:
    assert isinstance(parse(b'{"n": 4, "type": "done", "core4": 1}'), DoneEvent)


@pytest.mark.parametrize(
    ("body", "message", "levelno"),
    [
        (b"plain", "plain", 20),
        (b'{"message": "m", "level": "error", "x": 1}', "m x=1", 40),
        (b'{"msg": "m", "severity": "FATAL"}', "m", 50),
        (b'{"msg": "m", "levelname": "Warn"}', "m", 30),
        (b'{"msg": "m", "level": 17}', "m level=17", 10),
        (b'{"msg": 1}', '{"msg": 1}', 20),
        (b'{"msg": "lone \\ud800 nul \\u0000"}', "lone \\ud800 nul \\x00", 20),
        (b'{"core4": 2, "n": 1, "type": "log"}', '{"core4": 2, "n": 1, "type": "log"}', 20),
        (b'{"core4": 1, "n": -1, "type": "done"}', '{"core4": 1, "n": -1, "type": "done"}', 20),
        (b"[1]", "[1]", 20),
        (b'{"torn', '{"torn', 20),
        (b"a\xff\x00b\r", "a\\xff\\x00b\r", 20),
        (b"{" * 100_000, "{" * 100_000, 20),
    ],
)
def test_other_lines(body: bytes, message: str, levelno: int) -> None:
    assert parse(body) == PlainLine(message, levelno)


@pytest.mark.parametrize(
    "body",
    [
        b'{"core4": 1, "n": 5, "type": "later"}',
        b'{"core4": 1, "n": 5, "type": "log", "message": 7}',
    ],
)
def test_strange_events_keep_number_and_text(body: bytes) -> None:
    assert parse(body) == PlainLine(body.decode(), 10, 5)


def test_surrogates_and_bad_numbers_in_events() -> None:
    event = parse(b'{"core4":1,"n":1,"type":"log","message":"\\ud83d \xc3\xa4 \\ud83d\\ude00"}')
    assert isinstance(event, LogEvent)
    assert event.message == "\\ud83d ä 😀"
    progress = parse(b'{"core4":1,"n":1,"type":"progress","value":NaN}')
    assert isinstance(progress, protocol.ProgressEvent)
    assert progress.value == 0.0


@pytest.mark.parametrize(
    ("kind", "deep"),
    [
        ("cookie", b'"key":"d","value":' + b"[" * 5000 + b"]" * 5000),
        ("log", b'"message":"m","exception":{"info":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("progress", b'"value":' + b"9" * 5000),
        ("log", b'"message":"m","level":' + b'{"a":' * 5000 + b"1" + b"}" * 5000),
    ],
)
def test_an_event_that_cant_be_read_is_a_warning_and_keeps_its_number(
    kind: str, deep: bytes
) -> None:
    body = b'{"core4":1,"n":7,"type":"' + kind.encode() + b'",' + deep + b"}"
    assert parse(body) == PlainLine(body.decode(), 30, 7)


def test_an_exception_that_others_could_not_read_is_named() -> None:
    deep = b'{"info":' + b"[" * 70 + b"]" * 70 + b"}"
    event = parse(b'{"core4":1,"n":7,"type":"log","message":"m","exception":' + deep + b"}")
    assert isinstance(event, LogEvent)
    kept = protocol.record(event, 7, 0.0)
    info = "an exception that is nested deeper than 64 levels is not kept"
    assert (kept.message, kept.exception) == ("m", {"info": info, "text": []})


@pytest.mark.parametrize(
    ("level", "levelno"),
    [
        ("WARNING", 30),
        ("odd", 20),
        (37, 37),
        ("37", 37),
        ("0037", 37),
        (10**9, 100),
        ("Notice", 20),
        ("²", 20),
        ("٣", 20),
        ("9" * 5000, 100),
        (-5, 0),
    ],
)
def test_a_level_of_the_protocol_is_a_name_or_a_number(level: str | int, levelno: int) -> None:
    assert (
        protocol.record(LogEvent(core4=1, n=1, message="x", level=level), 1, 0.0).levelno == levelno
    )


@pytest.mark.parametrize("level", ["AUDIT", "Level 25", "Notice", 1000])
def test_a_level_without_an_equivalent_is_kept_in_the_text(level: str | int) -> None:
    record = protocol.record(LogEvent(core4=1, n=1, message="x", level=level), 1, 0.0)
    shown = f'"{level}"' if " " in str(level) else level
    assert record.message == f"x level={shown}"


def test_other_fields_of_a_log_event_are_kept_in_the_text() -> None:
    body = (
        b'{"core4":1,"n":7,"type":"log","level":"ERROR","message":"m","logger":"a.b","extra":[1]}'
    )
    event = parse(body)
    assert isinstance(event, LogEvent)
    record = protocol.record(event, event.n, 0.0)
    assert (record.n, record.levelno, record.message) == (7, 40, "m logger=a.b extra=[1]")


@pytest.mark.parametrize("body", [b'{"core4":1,"n":true,"type":"log","message":"m"}'])
def test_a_number_that_is_true_is_none(body: bytes) -> None:
    assert parse(body) == PlainLine(body.decode())
