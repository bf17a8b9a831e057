"""The OpenAPI document, generated from the table of routes."""

import re
from collections.abc import Iterable
from typing import Any, Final

from corejob.names import SchedulePolicy
from corejob.properties import (
    BY_REST,
    MAX_WORKER_LENGTH,
    TRIAL,
    WORKER_PATTERN,
    Property,
    Rule,
)
from corejob.state import State
from corejob_api import openapi_streams, openapi_trials
from corejob_api.http.paging import MOST_PER_PAGE
from corejob_api.http.routing import BASE, Route
from corejob_api.logs.ranges import DEFAULT_LIMIT
from corejob_api.past.cursors import MOST_PER_PAGE as MOST_OF_PAST
from corejob_api.query.log_filter import MOST_LEVEL, MOST_TRIAL
from corejob_api.query.log_rows import LEVELS
from corejob_api.query.selection import MAX_SORT
from corejob_api.query.values import MAX_PATH
from corejob_api.queue.abilities import Command

Schema = dict[str, Any]

_PUBLIC: Final = (400, 403, 405, 408, 413, 503, 505)
_COMMON: Final = (*_PUBLIC, 401, 429)
_ERRORS: Final = {
    400: "An argument is missing or bad, an equal job is in the queue, or the request is not HTTP.",
    401: "Not signed in.",
    403: "No permission, or a browser sent the request for a page of another origin.",
    404: "There is no such job.",
    405: "This method has no such action; see header Allow.",
    408: "The body did not arrive in time.",
    409: "The job's state does not allow it, or the Idempotency-Key stands for another job.",
    413: "The body is too long.",
    429: "Too many jobs or requests; see header Retry-After.",
    503: "Kubernetes or the store is unavailable, or the service is overloaded; see header "
    "Retry-After.",
    505: "The HTTP version is neither 1.0 nor 1.1.",
}
_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_RECORD_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9]{12,}$"}
_ID_GIVEN: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
_WHOLE: Final[Schema] = {"type": "integer"}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 1}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_DIRECTION: Final[Schema] = {"type": "integer", "enum": [1, -1]}
_PATH: Final[Schema] = {"type": "string", "pattern": rf"^[^.]*(\.[^.]*){{0,{MAX_PATH - 1}}}$"}
_PAIRS: Final[Schema] = {
    "type": "array",
    "maxItems": MAX_SORT,
    "items": {"type": "array", "maxItems": 2, "minItems": 2, "prefixItems": [_PATH, _DIRECTION]},
}
_MOMENT: Final[Schema] = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]
}
_HEADERS: Final[dict[int, tuple[str, str]]] = {
    401: ("WWW-Authenticate", "How to sign in."),
    405: ("Allow", "Methods of this URL."),
    429: ("Retry-After", "Seconds to wait."),
    503: ("Retry-After", "Seconds to wait."),
}
_NOT_JSON: Final = ("text/html", "text/plain", "text/csv")
"""Media types of errors other than JSON: if `Accept` asks for them, or the request isn't HTTP."""


def _nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _property(prop: Property) -> Schema:
    kinds: dict[Rule, Schema] = {
        Rule.BOOLEAN: _FLAG,
        Rule.NODE_OR_NULL: {
            **_nullable(_TEXT),
            "pattern": WORKER_PATTERN,
            "maxLength": MAX_WORKER_LENGTH,
        },
        Rule.INTEGER: _WHOLE,
        Rule.COUNT: {**_WHOLE, "minimum": 0},
        Rule.POSITIVE: {**_WHOLE, "minimum": 1},
        Rule.POSITIVE_OR_NULL: {**_nullable(_WHOLE), "minimum": 1},
    }
    return {**kinds[prop.rule], "description": prop.doc}


_PROPERTIES: Final = {name: _property(prop) for name, prop in BY_REST.items()}
_ARGUMENTS: Final[dict[str, tuple[Schema, str]]] = {
    "page": (_WHOLE, "Page number from 0; negative numbers count from the end."),
    "per_page": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_PER_PAGE, "default": 10},
        "Rows of a page.",
    ),
    "per_page_past": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_OF_PAST, "default": 10},
        "Rows of a page.",
    ),
    "sort": (_PAIRS, "Pairs of a field and 1 or -1; or a field's name, with `order`."),
    "order": (_DIRECTION, "Direction if `sort` is a field's name; without `sort`, of the `_id`."),
    "direction": (
        {**_DIRECTION, "default": -1},
        "1 is oldest first, -1 newest first.",
    ),
    "perPage": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_PER_PAGE, "default": 10},
        "Rows of a page.",
    ),
    "startDate": (
        _MOMENT,
        "Start: ISO 8601, UTC unless it has an offset. Default: midnight 7 days ago.",
    ),
    "endDate": (_MOMENT, "End: ISO 8601, UTC unless it has an offset. Default: now."),
    "filter": (_OBJECT, "MongoDB-style query over the rows."),
    "cursor": (
        _TEXT,
        "`next_cursor` of the previous page, or empty for the first page; excludes `page`.",
    ),
    "search": (_TEXT, "Part of the qual_name; ? matches one character, * any number of them."),
    "qual_name": (_TEXT, "Name of the job in the catalogue."),
    "args": (
        {"type": "object", "properties": _PROPERTIES},
        "Keyword arguments of the job, and its properties by name.",
    ),
    "follow": ({**_FLAG, "default": True}, "Stream the job; false: return its id only."),
    "follow_log": ({**_FLAG, "default": False}, "Stream the log."),
    "level": (
        {"anyOf": [{"enum": [*LEVELS]}, {**_WHOLE, "minimum": 0, "maximum": MOST_LEVEL}]},
        "Lowest level of a record.",
    ),
    "grep": (_TEXT, "Regular expression (RE2) that matches the message or the exception."),
    "since": (
        {"anyOf": [*_MOMENT["anyOf"], {"type": "number"}]},
        "Earliest time: ISO 8601, UTC unless it has an offset, or seconds since 1970.",
    ),
    "trial": (
        {**_NUMBER, "maximum": MOST_TRIAL},
        "Number of a trial: only its records. A stream ends with the log of that trial.",
    ),
    "tail": (
        {**_WHOLE, "minimum": 0},
        "Only this many of the newest matching records; in a stream, of those stored already.",
    ),
    "from": (_NUMBER, "Records from the one with this number on; excludes pages."),
    "before": (_NUMBER, "Records before the one with this number; excludes pages."),
    "around": (_NUMBER, "Records around the one with this number; excludes pages."),
    "limit": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_PER_PAGE, "default": DEFAULT_LIMIT},
        "Most records with `from`, `before` or `around`.",
    ),
    "ids_only": ({**_FLAG, "default": False}, "Answer with the records' ids only."),
    "count_levels": (
        {**_FLAG, "default": False},
        "Add `levels` to the answer: the number of matching records of each level.",
    ),
    "format": (
        {"enum": ["json", "text"], "default": "json"},
        "`text` is the whole log as a text file. So is header `Accept: text/plain` without an "
        "argument of pages or ranges.",
    ),
    "output": (
        {**_FLAG, "default": False},
        "Add what the job printed, each line after the record before it.",
    ),
    "last_event_id": (
        {"type": "string", "pattern": r"^([0-9]{1,18}(\.[0-9]{1,18})?)?$"},
        "Same as header Last-Event-ID: continue after the frame, or the record, with this id.",
    ),
    "username": (_TEXT, "User name, unless HTTP Basic is used."),
    "password": (_TEXT, "Password of the user."),
}
_NAMES: Final = {"follow_log": "follow", "direction": "sort", "per_page_past": "per_page"}
_STREAMS: Final = {"stream": "Stream", "summary": "Summaries"}
_PAGES: Final = {
    **dict.fromkeys(("catalogue", "jobs", "counts"), "Page"),
    "past": "Section",
    "records": "Records",
}
_REQUIRED: Final = frozenset({"qual_name"})
_IN_HEADER: Final = "idempotency_key"


def document(routes: Iterable[Route], version: str) -> Schema:
    """Return the document (OpenAPI 3.1)."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "core4",
            "version": version,
            "summary": "A job service for Kubernetes that speaks core4's job REST API.",
            "description": "Arguments are read from the query string, a form or a JSON body, "
            "with every method; the latter override the former.",
        },
        "servers": [{"url": "/"}],
        "security": [{"basic": []}, {"bearer": []}, {"query": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": _responses(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "token"},
            },
        },
    }


def _operation(route: Route) -> Schema:
    errors = {*(_PUBLIC if route.public else _COMMON), *route.errors}
    path_words = re.sub(r"[^a-z_]+", "_", route.path).strip("_")
    operation: Schema = {
        "operationId": f"{route.method.lower()}_{path_words}",
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            "200": _answer(route),
            **{str(code): {"$ref": f"#/components/responses/{code}"} for code in sorted(errors)},
        },
    }
    if route.public:
        operation["security"] = []
    if route.method != "GET" and any(name in _ARGUMENTS for name in route.arguments):
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> list[Schema]:
    parameters: list[Schema] = []
    if "{job_id}" in route.path:
        parameters.append({"name": "job_id", "in": "path", "required": True, "schema": _ID_GIVEN})
    for name in route.arguments:
        if name == _IN_HEADER:
            schema = {**_TEXT, "minLength": 1, "maxLength": 255}
            text = "A retry with the same key returns the same job."
            header = {"name": "Idempotency-Key", "in": "header", "schema": schema}
            parameters.append({**header, "description": text})
        elif route.method == "GET":
            parameters.append(_in_query(name))
    return parameters


def _in_query(name: str) -> Schema:
    schema, text = _ARGUMENTS[name]
    parameter: Schema = {"name": _NAMES.get(name, name), "in": "query", "description": text}
    if schema.get("type") in {"object", "array"}:
        return {**parameter, "content": {"application/json": {"schema": schema}}}
    return {**parameter, "schema": schema}


def _body(route: Route) -> Schema:
    names = [name for name in route.arguments if name in _ARGUMENTS]
    properties = {
        _NAMES.get(name, name): {**_ARGUMENTS[name][0], "description": _ARGUMENTS[name][1]}
        for name in names
    }
    schema: Schema = {"type": "object", "properties": properties}
    required = sorted(_REQUIRED.intersection(names))
    if required:
        schema["required"] = required
    return {"content": {"application/json": {"schema": schema}}}


def _answer(route: Route) -> Schema:
    """Return the response object of a route's answer; its form is `Route.answer`."""
    content: Schema = {}
    for name in route.answer.split(" or "):
        if name in _STREAMS:
            schema = {"$ref": f"#/components/schemas/{_STREAMS[name]}"}
            content["text/event-stream"] = {"schema": schema}
        elif name == "text":
            content["text/plain"] = {"schema": _TEXT}
        elif name == "document":
            content["application/json"] = {"schema": _OBJECT}
        else:
            content["application/json"] = {"schema": _envelope(name)}
    answer: Schema = {"description": "OK", "content": content}
    if route.answer == "token" or not route.public:
        text = (
            "The token"
            if route.answer == "token"
            else "New token, if the one sent is older than an hour"
        )
        header = {"description": f"{text}.", "required": route.answer == "token", "schema": _TEXT}
        answer["headers"] = {"Token": header}
    return answer


def _envelope(form: str) -> Schema:
    data: dict[str, Schema] = {
        "data": {},
        "catalogue": {"type": "array", "items": {"$ref": "#/components/schemas/Template"}},
        "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        "past": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        "records": {
            "type": "array",
            "items": {"anyOf": [{"$ref": "#/components/schemas/Record"}, _RECORD_ID]},
        },
        "counts": {"type": "array", "items": {"$ref": "#/components/schemas/Counts"}},
        "id": _ID,
        "job": {"$ref": "#/components/schemas/Detail"},
        "meta": {"$ref": "#/components/schemas/Meta"},
        "done": {"const": True},
        "token": {"type": "object", "properties": {"token": _TEXT}, "required": ["token"]},
    }
    frame = _PAGES.get(form, "Answer")
    inner = {"type": "object", "properties": {"data": data[form]}, "required": ["data"]}
    return {"allOf": [{"$ref": f"#/components/schemas/{frame}"}, inner]}


def _frames() -> dict[str, Schema]:
    """Return the schemas of the envelopes of JSON answers."""
    frame = {
        "_id": _ID,
        "version": _TEXT,
        "timestamp": _TEXT,
        "message": _TEXT,
        "code": _WHOLE,
    }
    counts = dict.fromkeys(("page", "page_count", "per_page", "count", "total_count"), _WHOLE)
    answer: Schema = {"type": "object", "properties": frame, "required": list(frame)}
    return {
        "Answer": answer,
        "Page": {
            "type": "object",
            "properties": {**frame, **counts},
            "required": [*frame, *counts],
        },
        "Section": {
            "type": "object",
            "description": "A page. With a cursor, page, page_count and total_count are null, "
            "since nothing is counted.",
            "properties": {
                **frame,
                **{name: _nullable(_WHOLE) for name in counts},
                "next_cursor": _nullable(_TEXT),
            },
            "required": [*frame, *counts, "next_cursor"],
        },
        "Records": {
            "type": "object",
            "description": "A page or a range of records. Of a range, page, page_count and "
            "total_count are null; `last_id` is the newest record of the log.",
            "properties": {
                **frame,
                **{name: _nullable(_WHOLE) for name in counts},
                "last_id": _nullable(_RECORD_ID),
                "levels": {
                    "type": "object",
                    "properties": {name: {**_WHOLE, "minimum": 0} for name in LEVELS},
                    "required": [*LEVELS],
                },
            },
            "required": [*frame, *counts],
        },
        "Error": {
            "type": "object",
            "properties": {**frame, "error": _TEXT},
            "required": [*frame, "error"],
        },
    }


_ABILITIES: Final[dict[str, Schema]] = {
    "can": {
        "type": "object",
        "description": "True for each command that the user may give to the job now.",
        "properties": {str(command): _FLAG for command in Command},
        "required": [str(command) for command in Command],
    },
    "cannot": {
        "type": "object",
        "description": "The reason for each command that is false in `can`.",
        "properties": {str(command): _TEXT for command in Command},
    },
}


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


_TEMPLATE: Final[dict[str, Schema]] = {
    "_id": _TEXT,
    "qual_name": _TEXT,
    "name": _TEXT,
    "author": _nullable(_TEXT),
    "created_at": _described(_TEXT, "Time at which its CoreJobTemplate was created; UTC."),
    "updated_at": _described(_TEXT, "Time at which its CoreJobTemplate was changed last; UTC."),
    "doc": _nullable(_TEXT),
    "tag": {"type": "array", "items": _TEXT},
    "args_schema": _described(
        _nullable(_OBJECT), "JSON schema of the job's args; null: no restriction."
    ),
    "properties": {
        "type": "object",
        "description": "Default of each settable property.",
        "properties": {name: schema for name, schema in _PROPERTIES.items() if name != TRIAL.rest},
    },
    "schedule": _nullable(_TEXT),
    "time_zone": _described(_nullable(_TEXT), "Time zone of the schedule."),
    "schedule_policy": _described(
        {"enum": [*map(str, SchedulePolicy), None]},
        "Policy for a time of the schedule at which the same job is still in the queue.",
    ),
    "next_run": _described(_nullable(_TEXT), "Next time of the schedule; UTC."),
    "last_run": _described(
        _nullable(_TEXT), "Time of the schedule for which its last job was enqueued; UTC."
    ),
    "last_job": _described(_nullable(_ID), "Id of that job."),
    "last_job_state": _described({"enum": [*map(str, State), None]}, "State of that job."),
    "skipped": _described(_nullable(_TEXT), "Reason why the schedule does not enqueue."),
    "valid": _described(
        _nullable(_FLAG),
        "True if Kubernetes can create the job's pod from its template; null if that is unknown.",
    ),
    "problem": _described(_nullable(_TEXT), "Reason why `valid` is not true."),
}


def _job(args: Schema, **more: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {
            "_id": _ID,
            "qual_name": _TEXT,
            "name": _TEXT,
            "args": args,
            "state": {"enum": [str(state) for state in State]},
            "journal": _FLAG,
            **_PROPERTIES,
            **more,
        },
        "required": ["_id", "qual_name", "name", "args", "state", *more],
    }


def _schemas() -> dict[str, Schema]:
    return {
        **_frames(),
        "Job": _job(_OBJECT),
        "Detail": {
            **_job(_OBJECT, **_ABILITIES, trials=openapi_trials.SCHEMA),
            "description": "A job, its trials, and what the user may do with it.",
        },
        "Row": {
            **_job(_nullable(_OBJECT)),
            "description": "A job of a listing. If the user may not read it, its qual_name is "
            "UnauthorizedJob, and other fields are empty (docs/rest.md, Masked rows).",
        },
        "Template": {
            "type": "object",
            "description": "A job of the catalogue.",
            "properties": _TEMPLATE,
            "required": [*_TEMPLATE],
        },
        "Meta": {
            "type": "object",
            "properties": {
                "version": _TEXT,
                "api_level": _WHOLE,
                "namespace": _TEXT,
                "sign_in": {"type": "array", "items": {"enum": ["basic", "login", "token"]}},
                "limits": {"type": "object", "additionalProperties": _WHOLE},
            },
            "required": ["version", "api_level", "namespace", "sign_in", "limits"],
        },
        "Counts": {
            "type": "object",
            "properties": {
                "created": _TEXT,
                "total": {**_WHOLE, "minimum": 0},
                **{str(state): {**_WHOLE, "minimum": 1} for state in State},
            },
            "required": ["created", "total"],
        },
        **openapi_streams.SCHEMAS,
    }


def _responses() -> dict[str, Schema]:
    return {str(code): _error(code, text) for code, text in _ERRORS.items()}


def _error(code: int, text: str) -> Schema:
    content: Schema = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}},
        **{form: {"schema": _TEXT} for form in _NOT_JSON},
    }
    if code == 505:
        content = {"text/plain": {"schema": _TEXT}}
    answer: Schema = {"description": text, "content": content}
    if code in _HEADERS:
        name, meaning = _HEADERS[code]
        answer["headers"] = {name: {"description": meaning, "schema": _TEXT}}
    return answer
