"""Requests as values, one function for each endpoint (docs/rest.md, "Endpoints")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

BASE: Final = "/core4/api/v1"
EVENT_STREAM: Final = "text/event-stream"
_LONGEST_QUERY: Final = 6000
"""Beyond this, arguments are sent as body: the head of a request is limited."""
_LONGEST_KEY: Final = 255
_JOB_ID: Final = re.compile("[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: HTTP method.
        target: Path with query, relative to the base path.
        headers: Headers apart from those of the connection and the sign-in.
        body: Body; None for a request without one.
        repeatable: True if the request may be sent again although the first may have had an effect.
        signed: False for the sign-in itself.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = True
    signed: bool = True

    def with_headers(self, **headers: str) -> Request:
        """Return the request with more headers; `_` in a name stands for `-`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Attributes:
        status: HTTP status.
        headers: Headers, by their names in lower case.
        body: The whole body; empty for an open stream.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def get(path: str, arguments: Mapping[str, Any] | None = None) -> Request:
    """Return a GET request; arguments that are None are left out."""
    given = _given(arguments or {})
    query = urlencode({name: _text(value) for name, value in given.items()})
    if len(query) > _LONGEST_QUERY:
        return _with_body("GET", path, given)
    joint = "&" if "?" in path else "?"
    return Request("GET", f"{path}{joint}{query}" if query else path)


def send(method: str, path: str, arguments: Mapping[str, Any] | None = None) -> Request:
    """Return a request of any method, with the arguments in its body unless it is a GET."""
    if method == "GET":
        return get(path, arguments)
    return replace(_with_body(method, path, _given(arguments or {})), repeatable=False)


def catalogue(arguments: Mapping[str, Any]) -> Request:
    """`GET /job/list`."""
    return get("/job/list", arguments)


def queue(arguments: Mapping[str, Any]) -> Request:
    """`GET /job`."""
    return get("/job", arguments)


def journal(arguments: Mapping[str, Any]) -> Request:
    """`GET /job/journal`."""
    return get("/job/journal", arguments)


def log(job_id: str, arguments: Mapping[str, Any]) -> Request:
    """`GET /job/log/<id>`, by pages."""
    return get(f"/job/log/{job_id}", arguments)


def detail(job_id: str) -> Request:
    """`GET /job/<id>`."""
    return get(f"/job/{job_id}")


def enqueue(qual_name: str, args: Mapping[str, Any], key: str) -> Request:
    """`POST /job`; the `Idempotency-Key` makes it repeatable.

    Raises:
        ValueError: The key is not 1 to 255 printable ASCII characters.
    """
    if not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise ValueError(f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable ASCII characters")
    body = {"qual_name": qual_name, "args": args, "follow": False}
    request = _with_body("POST", "/job", body)
    return request.with_headers(Idempotency_Key=key)


def kill(job_id: str) -> Request:
    """`PUT /job/kill/<id>`: a second kill changes nothing."""
    return Request("PUT", f"/job/kill/{job_id}")


def restart(job_id: str) -> Request:
    """`PUT /job/restart/<id>`: a second restart may meet another state, so it isn't repeatable."""
    return Request("PUT", f"/job/restart/{job_id}?follow=false", repeatable=False)


def remove(job_id: str) -> Request:
    """`PUT /job/remove/<id>`: a second one is a 404, which `operations.remove` tells apart."""
    return Request("PUT", f"/job/remove/{job_id}")


def follow(job_id: str, arguments: Mapping[str, Any], *, states: bool) -> Request:
    """`GET /job/follow/<id>`, or `GET /job/log/<id>?follow=true` without states."""
    if states:
        request = get(f"/job/follow/{job_id}", arguments)
    else:
        request = get(f"/job/log/{job_id}", {"follow": True, **arguments})
    return request.with_headers(Accept=EVENT_STREAM)


def login(authorization: str) -> Request:
    """`POST /login` by Basic."""
    return Request("POST", "/login", {"Authorization": authorization}, signed=False)


def profile() -> Request:
    """`GET /profile`."""
    return get("/profile")


def meta() -> Request:
    """`GET /meta`, which needs no sign-in."""
    return Request("GET", "/meta", signed=False)


def job_id(text: str) -> str:
    """Return a job's id, which becomes a part of URLs.

    Raises:
        ValueError: It has not 24 hex digits.
    """
    if not _JOB_ID.fullmatch(text.lower()):
        raise ValueError(f"a job's id has 24 hex digits: {text!r}")
    return text.lower()


def path(text: str) -> str:
    """Return a path that a user gave, relative to the base path and quoted."""
    return quote("/" + text.removeprefix(BASE).lstrip("/"), safe="/?%:@!$&'()*+,;=-._~")


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _with_body(method: str, target: str, body: Mapping[str, Any]) -> Request:
    text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    return Request(method, target, {"Content-Type": "application/json"}, text)
