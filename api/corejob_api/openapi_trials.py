"""Schema of a detail's `trials` in the OpenAPI document."""

from typing import Any, Final

from corejob.state import State
from corejob.trials import MOST_ENTRIES

Schema = dict[str, Any]

_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_RECORD_ID: Final[Schema] = {"type": ["string", "null"], "pattern": "^[0-9]{12,}$"}
_FIELDS: Final[dict[str, Schema]] = {
    "trial": {"type": "integer", "minimum": 0},
    "state": {
        "enum": [str(state) for state in State],
        "description": "State of the job at the end of the run; running while it lasts.",
    },
    "reason": {**_TEXT_OR_NULL, "description": "Why it ended; null while it lasts."},
    "exit_code": {"type": ["integer", "null"], "description": "Null if unknown."},
    "started_at": {**_TEXT_OR_NULL, "description": "Null if the job's container never ran."},
    "finished_at": {**_TEXT_OR_NULL, "description": "Null while it lasts."},
    "node": _TEXT_OR_NULL,
    "pod": _TEXT_OR_NULL,
    "log_from": {**_RECORD_ID, "description": "_id of its first record; null without records."},
    "log_to": {**_RECORD_ID, "description": "_id of its last record; null without records."},
}
SCHEMA: Final[Schema] = {
    "type": "array",
    "description": "The newest trials, oldest first, with the current one.",
    "maxItems": MOST_ENTRIES,
    "items": {
        "type": "object",
        "description": "One run of a pod. A trial that goes on after a suspension has several.",
        "properties": _FIELDS,
        "required": [*_FIELDS],
    },
}
