"""SSE clients that a stream must support: each reads a whole stream and returns its events.

The suite's own reader (`tests.support.sse`) is not among them. Each client decodes exactly as its
users would: a wrong charset, a false line end or an unexpected field shows as wrong text or as an
error.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import requests
from httpx_sse import EventSource
from sseclient import SSEClient
from tests.support.sse import CONNECT_SECONDS, READ_SECONDS, TIMEOUT

AUTH = ("admin", "hans")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a client read it; `id` is the last id received, or ""."""

    type: str
    data: Any
    id: str = ""


Client = Callable[[str, str, Any], list[Event]]
"""Called with method, URL and JSON body."""


def _requested(method: str, url: str, body: Any, **headers: str) -> requests.Response:
    with requests.Session() as session:
        # A proxy of the environment can't reach the cluster's addresses.
        session.trust_env = False
        response = session.request(
            method, url, json=body, auth=AUTH, headers=headers, stream=True, timeout=TIMEOUT
        )
        assert response.status_code == 200, response.text
        return response


def original(method: str, url: str, body: Any) -> list[Event]:
    """Read as a client of the original server does.

    Empty lines separate blocks. The first line of a block is the event; all others, without their
    first five characters, are the JSON.
    """
    text = _requested(method, url, body).content.decode()
    return list(original_events(text))


def original_events(text: str) -> Iterator[Event]:
    """Yield the events of a whole body, as that client parses them."""
    for block in text.split("\n\n"):
        first, *others = block.split("\n")
        payload = "\n".join(others)[5:]
        # No payload: a comment, or the rest after the last empty line.
        if payload:
            yield Event(first.removeprefix("event: "), json.loads(payload))


def lines_of_bytes(method: str, url: str, body: Any) -> list[Event]:
    """Read with `iter_lines` of requests."""
    lines = _requested(method, url, body).iter_lines()
    return list(_fields(line.decode() for line in lines))


def lines_of_text(method: str, url: str, body: Any) -> list[Event]:
    """Read with `iter_lines` of requests and `decode_unicode`.

    That uses the charset of the header, and the line ends of `str.splitlines`.
    """
    return list(_fields(_requested(method, url, body).iter_lines(decode_unicode=True)))


def _fields(lines: Iterable[str]) -> Iterator[Event]:
    event = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            yield Event(event, json.loads(value))
        else:
            assert line == "" or name == "", line


def httpx_sse(method: str, url: str, body: Any) -> list[Event]:
    """Read with the package httpx-sse."""
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Accept": "text/event-stream"}
    with (
        httpx.Client(auth=AUTH, trust_env=False, timeout=timeout) as client,
        client.stream(method, url, json=body, headers=headers) as response,
    ):
        found = [one for one in EventSource(response).iter_sse() if one.data]
    return [Event(one.event, one.json(), one.id) for one in found]


def sseclient_py(method: str, url: str, body: Any) -> list[Event]:
    """Read with the package sseclient-py over requests, as its README shows."""
    response = _requested(method, url, body, Accept="text/event-stream")
    return [
        Event(one.event, json.loads(one.data), one.id or "")
        for one in SSEClient(response).events()  # type: ignore[arg-type]  # it is iterable
        if one.data
    ]


def browser(method: str, url: str, body: Any) -> list[Event]:
    """Read as a browser's `EventSource` does, by the HTML standard (9.2.6)."""
    response = _requested(method, url, body, Accept="text/event-stream")
    media_type = response.headers["Content-Type"].partition(";")[0].strip().lower()
    assert media_type == "text/event-stream"
    return list(browser_events(response.iter_content(chunk_size=None)))


def browser_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream as a browser parses them: UTF-8; lines end with CR, LF, both."""
    text = b"".join(chunks).decode("utf-8", "replace").removeprefix("\ufeff")
    data: list[str] = []
    event = last_id = ""
    # A block without an empty line after it is not dispatched.
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if not line:
            if data:
                yield Event(event or "message", json.loads("\n".join(data)), last_id)
            data, event = [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value


ALL: dict[str, Client] = {
    "original": original,
    "iter_lines": lines_of_bytes,
    "iter_lines(decode_unicode)": lines_of_text,
    "httpx-sse": httpx_sse,
    "sseclient-py": sseclient_py,
    "browser": browser,
}
WITH_IDS = {"httpx-sse", "sseclient-py", "browser"}
"""Clients that send an `Accept` header for event streams and read ids."""
