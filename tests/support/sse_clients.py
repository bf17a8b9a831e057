"""The clients that a stream has to please: each reads all of one, and tells the frames it found.

The service's own helper (`tests.support.sse`) is none of them. None of these decodes anything but
as its users would: a wrong charset, a line ended where there is none, a field where no field was
expected shows as wrong text, or as an error.
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
    """One frame as a client saw it; `id` is the last one it heard of, "" if none."""

    type: str
    data: Any
    id: str = ""


Client = Callable[[str, str, Any], list[Event]]
"""Called with method, URL and JSON body."""


def _requested(method: str, url: str, body: Any, **headers: str) -> requests.Response:
    with requests.Session() as session:
        # A proxy of the environment knows nothing of the cluster's addresses.
        session.trust_env = False
        response = session.request(
            method, url, json=body, auth=AUTH, headers=headers, stream=True, timeout=TIMEOUT
        )
        assert response.status_code == 200, response.text
        return response


def original(method: str, url: str, body: Any) -> list[Event]:
    """A client of the original server: blocks between empty lines; the first line of a block is the
    event, all the others, without their first five characters, are the JSON."""
    text = _requested(method, url, body).content.decode()
    return list(original_events(text))


def original_events(text: str) -> Iterator[Event]:
    """The events of a whole body, as that client finds them."""
    for block in text.split("\n\n"):
        first, *others = block.split("\n")
        payload = "\n".join(others)[5:]
        # A comment, or what follows the last empty line.
        if payload:
            yield Event(first.removeprefix("event: "), json.loads(payload))


def lines_of_bytes(method: str, url: str, body: Any) -> list[Event]:
    """`iter_lines` of requests."""
    lines = _requested(method, url, body).iter_lines()
    return list(_fields(line.decode() for line in lines))


def lines_of_text(method: str, url: str, body: Any) -> list[Event]:
    """`iter_lines` of requests with `decode_unicode`: in the charset of the header, and with the
    ends of lines of `str.splitlines`."""
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
    """The package httpx-sse."""
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Accept": "text/event-stream"}
    with (
        httpx.Client(auth=AUTH, trust_env=False, timeout=timeout) as client,
        client.stream(method, url, json=body, headers=headers) as response,
    ):
        found = [one for one in EventSource(response).iter_sse() if one.data]
    return [Event(one.event, one.json(), one.id) for one in found]


def sseclient_py(method: str, url: str, body: Any) -> list[Event]:
    """The package sseclient-py over requests, as its README has it."""
    response = _requested(method, url, body, Accept="text/event-stream")
    return [
        Event(one.event, json.loads(one.data), one.id or "")
        for one in SSEClient(response).events()  # type: ignore[arg-type]  # it is iterable
        if one.data
    ]


def browser(method: str, url: str, body: Any) -> list[Event]:
    """A browser's `EventSource`, by the HTML standard (9.2.6)."""
    response = _requested(method, url, body, Accept="text/event-stream")
    media_type = response.headers["Content-Type"].partition(";")[0].strip().lower()
    assert media_type == "text/event-stream"
    return list(browser_events(response.iter_content(chunk_size=None)))


def browser_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream, as it finds them: always UTF-8, lines end with CR, LF or both."""
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
"""Those that show that they know ids."""
