"""JSON lines of other loggers: every value is kept."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_journal.recorder.ingest import jsonlines, protocol
from corejob_journal.recorder.ingest.jsonlines import level_of
from corejob_journal.recorder.ingest.protocol import PlainLine

# Written by slog, zap 1.27, logrus 1.9, zerolog 1.34 (Go), pino 10, bunyan 1.8, winston 3 (Node),
# structlog 25, python-json-logger 4, ecs-logging 2 and loguru 0.7 (Python).
RECORDED: Final = [
    line.encode()
    for line in (Path(__file__).parent / "json_lines.txt").read_text("utf-8").splitlines()
]
# From the documentation of Serilog's compact format, logback's JSON, Google Cloud, GELF.
WRITTEN: Final = [
    rb'{"@t":"2026-11-24T03:00:00Z","@mt":"Hello {Name}","@l":"Error","@x":"E: no\n at F",'
    rb'"Name":"n"}',
    b'{"@timestamp":"2026-11-24T03:00:00Z","@version":"1","message":"m","logger_name":"a.B",'
    rb'"thread_name":"main","level":"WARN","level_value":30000,"stack_trace":"E: no\n\tat a.B"}',
    b'{"severity":"NOTICE","textPayload":"m","labels":{"a":"b"}}',
    b'{"version":"1.1","host":"h","short_message":"m","full_message":"all","level":3,"_x":1}',
    b'{"log":{"level":"error","logger":"x"},"message":"m"}',
    b'{"msg":"twice","a":1,"a":2}',
]


def plain(body: bytes) -> PlainLine:
    found = protocol.parse(body)
    assert isinstance(found, PlainLine)
    return found


def scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in [key, *scalars(item)]]
    if isinstance(value, list):
        return [leaf for item in value for leaf in scalars(item)]
    return [value]


def kept(found: PlainLine) -> str:
    """Return everything that the record contains, as JSON would write it."""
    exception = found.exception or {"info": "", "text": []}
    whole = f"{found.message}\n{exception['info']}\n{''.join(exception['text'])}"
    return json.dumps(whole, ensure_ascii=False) + whole


@pytest.mark.parametrize("body", [*RECORDED, *WRITTEN], ids=range(len(RECORDED + WRITTEN)))
def test_all_values_of_a_line_are_kept(body: bytes) -> None:
    found = plain(body)
    told = kept(found)
    for key, value in json.loads(body).items():
        level = key in {"level", "levelname", "log.level", "@l", "severity"}
        for leaf in () if level and level_of(value) else scalars(value):
            # A key may be missing if its value has a field of its own.
            text = leaf if isinstance(leaf, str) else json.dumps(leaf)
            assert (
                text in told
                or json.dumps(text, ensure_ascii=False)[1:-1] in told
                or leaf
                in {
                    "stack",
                    "stack_trace",
                }
            )


@pytest.mark.parametrize(
    ("body", "message", "levelno"),
    [
        (RECORDED[0], "started time=", 20),
        (RECORDED[2], "odd level time=", 30),
        (RECORDED[4], "zap failed ts=", 40),
        (RECORDED[8], 'zerolog error="dial tcp: connection refused" k=v', 40),
        (RECORDED[10], '{"level":"info","only":"fields"', 20),
        (RECORDED[11], "hello time=", 20),
        (RECORDED[13], "with object time=", 50),
        (RECORDED[22], 'user logged in user="x y" n=3', 20),
        (RECORDED[24], "careful asctime=", 30),
        (WRITTEN[0], "Hello {Name} @t=2026-11-24T03:00:00Z Name=n", 40),
        (WRITTEN[2], 'm severity=NOTICE labels={"a":"b"}', 20),
        (WRITTEN[3], "m version=1.1 host=h full_message=all level=3 _x=1", 40),
        (WRITTEN[4], 'm log={"level":"error","logger":"x"}', 40),
        (WRITTEN[5], "twice a=1 a#2=2", 20),
        (b'{"msg":"two\\nlines","a":"b=c"}', 'two\nlines\na="b=c"', 20),
        (b'{"msg":"","a":NaN}', "a=NaN", 20),
        (b'{"level":"error","err":{"a":1}}', '{"level":"error","err":{"a":1}}', 40),
        (b'{"MSG":"m","Level":"Fatal"}', "m", 50),
    ],
)
def test_the_record_of_a_line(body: bytes, message: str, levelno: int) -> None:
    found = plain(body)
    assert found.message.startswith(message)
    assert found.levelno == levelno


@pytest.mark.parametrize(
    ("body", "info", "last"),
    [
        (RECORDED[4], "main.main", "proc.go:290"),
        (RECORDED[12], "TypeError: x is undefined", "run_main_module:28:49"),
        (RECORDED[15], "TypeError: x is undefined", "run_main_module:28:49"),
        (RECORDED[18], "TypeError: x is undefined", "run_main_module:28:49"),
        (RECORDED[23], "ZeroDivisionError: division by zero", "division by zero"),
        (RECORDED[25], "ZeroDivisionError: division by zero", "division by zero"),
        (RECORDED[26], "ZeroDivisionError: division by zero", "~^~\n"),
        (WRITTEN[0], "E: no", " at F"),
        (WRITTEN[1], "E: no", "at a.B"),
    ],
)
def test_a_stack_is_the_exception_of_the_record(body: bytes, info: str, last: str) -> None:
    exception = plain(body).exception
    assert exception is not None
    assert exception["info"] == info
    assert exception["text"][-1].endswith(last)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("INFO", (20, True)),
        (" Warn ", (30, True)),
        ("err", (40, True)),
        ("crit", (50, True)),
        ("trace", (10, False)),
        ("notice", (20, False)),
        ("PANIC", (50, False)),
        ("ERROR+4", (40, False)),
        ("30", (20, True)),
        (10, (10, False)),
        (20, (10, True)),
        (30, (20, True)),
        (40, (30, True)),
        (50, (40, True)),
        (60, (50, True)),
        (35, (20, False)),
        (90, (50, False)),
        ({"name": "WARNING", "no": 30}, (30, False)),
        (5, None),
        (True, None),
        (None, None),
        ("odd", None),
        ("", None),
        ([], None),
    ],
)
def test_a_level_is_a_word_or_a_number_of_a_known_scale(
    level: Any, expected: tuple[int, bool] | None
) -> None:
    assert level_of(level) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=6))
def test_no_field_is_lost_whatever_it_is(fields: dict[str, Any]) -> None:
    taken = {"message", "msg", "event", "level", "severity", "lvl", "stack"}
    fields = {key: value for key, value in fields.items() if key.lower() not in taken}
    found = jsonlines.read({**fields, "msg": "text", "level": "error"})
    assert found.levelno == 40
    if found.exception is None:
        shown = [f"{jsonlines._shown(key)}={jsonlines._shown(v)}" for key, v in fields.items()]
        assert found.message == " ".join(["text", *shown])


@given(st.binary(max_size=80))
def test_no_line_ends_the_log(body: bytes) -> None:
    for start in (b"", b"{", b'{"core4":1,"n":5,', b'{"msg":'):
        protocol.parse(start + body)


def steps_of(pairs: int) -> int:
    """Return the number of steps in which a line with so many equal keys is read."""
    steps = 0
    line = "{" + ",".join(['"a":1'] * pairs) + "}"

    def trace(_frame: Any, _event: str, _argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        fields = jsonlines.loads(line)
    finally:
        sys.settrace(before)
    assert len(fields) == pairs
    return steps


def test_equal_keys_cost_the_same_each() -> None:
    assert steps_of(2000) < 25 * 2000
    names = list(jsonlines.loads('{"a":1,"a#2":2,"a":3,"a":4,"a#2":5}').items())
    assert names == [("a", 1), ("a#2", 2), ("a#3", 3), ("a#4", 4), ("a#2#2", 5)]


def test_a_level_that_is_an_object_is_kept() -> None:
    line = {"level": {"name": "ERROR", "no": 40}, "message": "m"}
    assert jsonlines.read(line) == jsonlines.Foreign('m level={"name":"ERROR","no":40}', 40)
