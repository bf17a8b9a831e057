"""Event lines with fields of any value: each line becomes something that can be stored."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.protocol import LogEvent, PlainLine

TEXTS = st.text(st.characters() | st.sampled_from("\0\ud800\udfff\x1b"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["log", "progress", "output", "source", "cookie", "done", "other"])
FIELDS = st.fixed_dictionaries(
    {"core4": st.just(1), "n": st.integers(-1, 10**20), "type": TYPES | VALUES},
    optional=dict.fromkeys(
        (
            "time",
            "level",
            "message",
            "exception",
            "value",
            "stream",
            "text",
            "name",
            "key",
            "state",
            "lastError",
        ),
        VALUES,
    ),
)


@given(FIELDS, st.booleans())
def test_an_event_of_any_fields_is_read(fields: dict[str, Any], escaped: bool) -> None:
    line = json.dumps(fields, ensure_ascii=escaped, separators=(",", ":"))
    event = protocol.parse(line.encode("utf-8", "surrogatepass"))
    if isinstance(event, LogEvent):
        record = protocol.record(event, 1, 0.0)
        assert "\0" not in record.message
        assert 0 <= record.levelno <= 100
        record.message.encode()
    if isinstance(event, PlainLine):
        assert "\0" not in event.message
        event.message.encode()


@given(FIELDS, st.data())
def test_an_event_that_is_cut_anywhere_is_read(fields: dict[str, Any], data: st.DataObject) -> None:
    line = json.dumps(fields).encode()
    protocol.parse(line[: data.draw(st.integers(0, len(line)))])
