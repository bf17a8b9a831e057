"""The OpenAPI document: what the table of routes says, for machines."""

import re
from collections.abc import Iterable
from typing import Any, Final

from corejob.properties import BY_REST, Property, Rule
from corejob.state import State
from corejob_api.paging import MOST_PER_PAGE
from corejob_api.records import LEVELS
from corejob_api.routing import BASE, Route

Schema = dict[str, Any]

_COMMON: Final = (400, 401, 403, 405, 413, 503)
_PUBLIC: Final = (400, 405, 413)
_ERRORS: Final = {
    400: "An argument is missing or bad, or the job is in the queue already.",
    401: "Not signed in.",
    403: "No permission.",
    404: "There is no such job.",
    405: "There is no such action of this method.",
    409: "The job's state does not allow it, or the Idempotency-Key stands for another job.",
    413: "The body is too long.",
    429: "Too many jobs or requests; see header Retry-After.",
    503: "Kubernetes or the store is away; see header Retry-After.",
}
_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_WHOLE: Final[Schema] = {"type": "integer"}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_PAIRS: Final[Schema] = {"type": "array", "items": {"type": "array", "maxItems": 2, "minItems": 2}}


def _nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _property(prop: Property) -> Schema:
    kinds: dict[Rule, Schema] = {
        Rule.BOOLEAN: _FLAG,
        Rule.TEXT_OR_NULL: _nullable(_TEXT),
        Rule.INTEGER: _WHOLE,
        Rule.COUNT: {**_WHOLE, "minimum": 0},
        Rule.POSITIVE: {**_WHOLE, "minimum": 1},
        Rule.POSITIVE_OR_NULL: {**_nullable(_WHOLE), "minimum": 1},
    }
    return {**kinds[prop.rule], "description": prop.doc}


_PROPERTIES: Final = {name: _property(prop) for name, prop in BY_REST.items()}
_ARGUMENTS: Final[dict[str, tuple[Schema, str]]] = {
    "page": (_WHOLE, "The page, from 0; negative ones count from the end."),
    "per_page": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_PER_PAGE, "default": 10},
        "Rows of a page; of past jobs at most 1,000.",
    ),
    "sort": (_PAIRS, "Pairs of a field and 1 or -1; or a field's name, with `order`."),
    "order": ({**_WHOLE, "enum": [1, -1]}, "The direction, where `sort` is a field's name."),
    "direction": (
        {**_WHOLE, "enum": [1, -1], "default": -1},
        "1 is oldest first, -1 newest first.",
    ),
    "perPage": (
        {**_WHOLE, "minimum": 1, "maximum": MOST_PER_PAGE, "default": 10},
        "Rows of a page.",
    ),
    "startDate": (_TEXT, "ISO 8601, UTC unless it has an offset; else midnight 7 days ago."),
    "endDate": (_TEXT, "ISO 8601, UTC unless it has an offset; else now."),
    "filter": (_OBJECT, "A MongoDB-style query over the rows."),
    "cursor": (
        _TEXT,
        "The next_cursor of the page before; empty begins without counting. Not with `page`.",
    ),
    "search": (_TEXT, "Part of the qual_name; ? is one character, * any run."),
    "qual_name": (_TEXT, "Which job."),
    "args": (
        {"type": "object", "properties": _PROPERTIES},
        "The job's keyword arguments, and properties of the job by their names.",
    ),
    "follow": ({**_FLAG, "default": True}, "Whether to stream the job, or just to give its id."),
    "follow_log": ({**_FLAG, "default": False}, "Whether to stream the log."),
    "level": (
        {"anyOf": [{"enum": [*LEVELS]}, {**_WHOLE, "minimum": 0}]},
        "The least level of a record.",
    ),
    "grep": (_TEXT, "A regular expression (RE2) that the message or the exception matches."),
    "since": (
        {"anyOf": [_TEXT, {"type": "number"}]},
        "The earliest time: ISO 8601, UTC unless it has an offset, or seconds since 1970.",
    ),
    "tail": (
        {**_WHOLE, "minimum": 0},
        "Only the last so many records that pass; in a stream, those that are there already.",
    ),
    "last_event_id": (
        _TEXT,
        "As header Last-Event-ID: go on after that frame, or after the record of that _id.",
    ),
    "username": (_TEXT, "Who signs in, where not by HTTP Basic."),
    "password": (_TEXT, "Their password."),
}
_NAMES: Final = {"follow_log": "follow", "direction": "sort"}
_STREAMS: Final = {"stream": "Stream", "summary": "Summary"}
_PAGES: Final = {"page": "Page", "counts": "Page", "past": "Section"}
_REQUIRED: Final = frozenset({"qual_name"})
_IN_HEADER: Final = "idempotency_key"


def document(routes: Iterable[Route], version: str) -> Schema:
    """The document (OpenAPI 3.1)."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "core4",
            "version": version,
            "summary": "A job service for Kubernetes that speaks core4's job REST API.",
            "description": "Arguments come from the query string, a form or a JSON body, with "
            "every method; a later one of these wins.",
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
    words = re.sub(r"[^a-z_]+", "_", route.path).strip("_")
    operation: Schema = {
        "operationId": f"{route.method.lower()}_{words}",
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            "200": _answer(route.answer),
            **{str(code): {"$ref": f"#/components/responses/{code}"} for code in sorted(errors)},
        },
    }
    if route.public:
        operation["security"] = []
    if route.method != "GET" and any(name in _ARGUMENTS for name in route.arguments):
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> list[Schema]:
    found: list[Schema] = []
    if "{job_id}" in route.path:
        found.append({"name": "job_id", "in": "path", "required": True, "schema": _ID})
    for name in route.arguments:
        if name == _IN_HEADER:
            schema = {**_TEXT, "minLength": 1, "maxLength": 255}
            text = "A retry with the same key gets the same job."
            header = {"name": "Idempotency-Key", "in": "header", "schema": schema}
            found.append({**header, "description": text})
        elif route.method == "GET":
            found.append(_in_query(name))
    return found


def _in_query(name: str) -> Schema:
    schema, text = _ARGUMENTS[name]
    parameter = {"name": _NAMES.get(name, name), "in": "query", "description": text}
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


def _answer(form: str) -> Schema:
    """What a route's answer looks like; see `Route.answer` for the forms."""
    content: Schema = {}
    for name in form.split(" or "):
        if name in _STREAMS:
            schema = {"$ref": f"#/components/schemas/{_STREAMS[name]}"}
            content["text/event-stream"] = {"schema": schema}
        elif name == "document":
            content["application/json"] = {"schema": _OBJECT}
        else:
            content["application/json"] = {"schema": _envelope(name)}
    return {"description": "OK", "content": content}


def _envelope(form: str) -> Schema:
    data: dict[str, Schema] = {
        "data": {},
        "page": {"type": "array", "items": _OBJECT},
        "past": {"type": "array", "items": _OBJECT},
        "counts": {"type": "array", "items": {"$ref": "#/components/schemas/Counts"}},
        "id": _ID,
        "job": {"$ref": "#/components/schemas/Job"},
        "done": {"const": True},
        "token": {"type": "object", "properties": {"token": _TEXT}, "required": ["token"]},
    }
    frame = _PAGES.get(form, "Answer")
    inner = {"type": "object", "properties": {"data": data[form]}, "required": ["data"]}
    return {"allOf": [{"$ref": f"#/components/schemas/{frame}"}, inner]}


def _frames() -> dict[str, Schema]:
    """What each JSON answer has around its data."""
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
            "description": "A page; by a cursor nothing is counted, and page, page_count and "
            "total_count are null.",
            "properties": {
                **frame,
                **{name: _nullable(_WHOLE) for name in counts},
                "next_cursor": _nullable(_TEXT),
            },
            "required": [*frame, *counts, "next_cursor"],
        },
        "Error": {
            "type": "object",
            "properties": {**frame, "error": _TEXT},
            "required": [*frame, "error"],
        },
    }


def _schemas() -> dict[str, Schema]:
    return {
        **_frames(),
        "Job": {
            "type": "object",
            "properties": {
                "_id": _ID,
                "qual_name": _TEXT,
                "args": _OBJECT,
                "state": {"enum": [str(state) for state in State]},
                "journal": _FLAG,
                **_PROPERTIES,
            },
            "required": ["_id", "qual_name", "args", "state"],
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
        "Summary": {
            "type": "string",
            "description": "Server-sent events: summary, with Counts as data.",
        },
        "Stream": {
            "type": "string",
            "description": "Server-sent events: state, log, gap, lagged, and close as the last. "
            "The id of each is that of the last log record before it or in it.",
        },
    }


def _responses() -> dict[str, Schema]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        str(code): {"description": text, "content": {"application/json": {"schema": schema}}}
        for code, text in _ERRORS.items()
    }
