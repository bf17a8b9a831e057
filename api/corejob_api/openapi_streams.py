"""Schemas of server-sent events in the OpenAPI document.

The schema of `text/event-stream` describes each of its events, as is the custom before OpenAPI 3.2
(`itemSchema`): an object of the event's fields, where `data` is a string that contains JSON.
"""

from typing import Any, Final

from corejob_api.query.log_rows import LEVELS
from corejob_api.streams.frames import Event, Mode

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NUMBER_OR_NULL: Final[Schema] = {"type": ["integer", "null"]}
_RECORD_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9]{12}$"}
_ROW_ID: Final[Schema] = {"type": "string", "pattern": r"^[0-9]{12}(\.[0-9]+)?$"}
"""That of a printed line has a second number."""
_FRAME_ID: Final[Schema] = {"type": "string", "pattern": r"^[0-9]{12,18}(\.[0-9]+)?$"}
"""The first frame repeats the number that a client resumes from, also one beyond the end."""

_RECORD: Final[Schema] = {
    "type": "object",
    "description": "A record of a log, or a printed line.",
    "properties": {
        "_id": _ROW_ID,
        "created": _TEXT,
        "epoch": {"type": "number"},
        "level": {"enum": [*LEVELS]},
        "levelno": {"type": "integer"},
        "message": _TEXT,
        "identifier": _TEXT,
        "qual_name": _TEXT,
        "hostname": _TEXT_OR_NULL,
        "username": _TEXT_OR_NULL,
        "exception": {"type": "object"},
        "output": {"enum": ["stdout", "stderr"]},
    },
    "required": ["_id", "created", "epoch", "level", "levelno", "message", "identifier"],
}
_GAP: Final[Schema] = {
    "type": "object",
    "description": "Records are missing here.",
    "properties": {
        "after": _RECORD_ID,
        "from": _NUMBER_OR_NULL,
        "to": _NUMBER_OR_NULL,
        "reason": _TEXT,
    },
    "required": ["after", "from", "to", "reason"],
}
_LAGGED: Final[Schema] = {
    "type": "object",
    "description": "The client reads too slowly: number of dropped states, and of records to come.",
    "properties": {"dropped": _COUNT, "behind": _COUNT},
    "required": ["dropped", "behind"],
}
_CLOSE: Final[Schema] = {
    "type": "object",
    "description": "The last frame: number of frames by type.",
    "additionalProperties": _COUNT,
}
_WITH_MODE: Final[Schema] = {
    "allOf": [
        {"$ref": "#/components/schemas/Record"},
        {
            "type": "object",
            "properties": {"mode": {"enum": [str(mode) for mode in Mode]}},
            "required": ["mode"],
        },
    ]
}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _frame(event: Event, data: Schema) -> Schema:
    """Return the schema of a frame; `id` is sent only to clients that show they understand ids."""
    inner = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "properties": {"event": {"const": str(event)}, "id": _FRAME_ID, "data": inner},
        "required": ["event", "data"],
        "additionalProperties": False,
    }


def _stream(description: str, *names: str) -> Schema:
    return {"description": description, "oneOf": [_named(name) for name in names]}


SCHEMAS: Final[dict[str, Schema]] = {
    "Record": _RECORD,
    "StateFrame": _frame(Event.STATE, _named("Job")),
    "LogFrame": _frame(Event.LOG, _WITH_MODE),
    "OutputFrame": _frame(Event.OUTPUT, _WITH_MODE),
    "GapFrame": _frame(Event.GAP, _GAP),
    "LaggedFrame": _frame(Event.LAGGED, _LAGGED),
    "CloseFrame": _frame(Event.CLOSE, _CLOSE),
    "SummaryFrame": _frame(Event.SUMMARY, _named("Counts")),
    "Stream": _stream(
        "An event of a job's stream: its state at once and at each change, the records of its "
        "log, and close at the end. Comment lines between frames keep the connection alive. The "
        "id of a frame is that of the last record up to and including it.",
        "StateFrame",
        "LogFrame",
        "OutputFrame",
        "GapFrame",
        "LaggedFrame",
        "CloseFrame",
    ),
    "Summaries": _stream(
        "An event of the stream: the number of jobs in the queue, at once and at each change.",
        "SummaryFrame",
    ),
}
"""Component schemas; they refer to the components Job and Counts."""
