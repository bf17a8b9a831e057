"""Responses of the server, as data or as errors (docs/rest.md, "Answers" and "Errors")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from core4.client import errors
from core4.client.errors import ApiError
from core4.client.requests import EVENT_STREAM, Response
from core4.client.results import Page

T = TypeVar("T")

_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    400: errors.BadRequestError,
    401: errors.NotSignedInError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    405: errors.NotAllowedError,
    408: errors.UnavailableError,
    409: errors.ConflictError,
    413: errors.TooLargeError,
    429: errors.TooManyError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.UnavailableError,
}
_EXISTS: Final = re.compile(r"job \[(?P<name>.*?)\] exists with args (?P<args>.*)", re.DOTALL)
_PATH: Final = re.compile(r"\[(args[.\[].*?)\](?=[\s:,;]|$)")
_NAME: Final = re.compile(r"(?:parameter|header|property) \[([^\]]+)\]|Missing argument (\S+)")
_LONGEST_QUOTE: Final = 300


def envelope(response: Response) -> Mapping[str, Any]:
    """Return the JSON object of a good answer.

    Raises:
        ApiError: The answer is an error, or not one of core4.
    """
    body = _json(response)
    if response.status == 200 and body is not None and "data" in body:
        return body
    raise error(response)


def data(response: Response) -> Any:
    """Return the data of a good answer.

    Raises:
        ApiError: The answer is an error, or not one of core4.
    """
    return envelope(response)["data"]


def page(response: Response, item: Callable[[Any], T]) -> Page[T]:
    """Return a page of a listing.

    Raises:
        ApiError: The answer is an error, or not one of core4.
    """
    body = envelope(response)
    rows = tuple(item(row) for row in body["data"])
    return Page(rows, body.get("total_count"), body.get("next_cursor"))


def check_stream(response: Response) -> None:
    """Accept the head of a stream.

    Raises:
        ApiError: The answer is an error, or not a stream.
    """
    kind = response.headers.get("content-type", "")
    if response.status != 200 or not kind.lower().startswith(EVENT_STREAM):
        raise error(response)


def error(response: Response) -> ApiError:
    """Return the error that a response means."""
    body = _json(response)
    if body is None or not isinstance(body.get("error"), str):
        return _foreign(response)
    text = str(body["error"])
    kind = _kind(response.status)
    if kind is errors.BadRequestError and _EXISTS.fullmatch(text):
        kind = errors.DuplicateError
    found = kind(
        response.status,
        text,
        request_id=body.get("_id"),
        retry_after=_retry_after(response),
    )
    if isinstance(found, errors.BadRequestError):
        found.field = _field(text)
    return found


def duplicate_of(text: str) -> tuple[str, Any] | None:
    """Return name and args that a refusal of a duplicate quotes; None if they are cut."""
    match = _EXISTS.fullmatch(text)
    if match is None:
        return None
    try:
        return match["name"], json.loads(match["args"])
    except ValueError:
        return None


def _kind(status: int) -> type[ApiError]:
    if status >= 500:
        return _BY_STATUS.get(status, errors.ServerError)
    return _BY_STATUS.get(status, errors.UnexpectedAnswerError)


def _foreign(response: Response) -> ApiError:
    """Return the error for an answer that core4 didn't write, such as one of a proxy."""
    status, where = response.status, response.headers.get("location")
    if where and 300 <= status < 400:
        # Not followed: it would take the sign-in to another server.
        text = f"the server redirects to {where}"
        return errors.UnexpectedAnswerError(status, text, by_core4=False)
    kind = errors.UnexpectedAnswerError if status < 400 else _kind(status)
    quoted = response.body[:_LONGEST_QUOTE].decode(errors="replace").strip()
    media = response.headers.get("content-type", "no content type")
    text = f"the answer is not one of core4 ({media})" + (f": {quoted}" if quoted else "")
    return kind(status, text, retry_after=_retry_after(response), by_core4=False)


def _json(response: Response) -> Mapping[str, Any] | None:
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _field(text: str) -> str | None:
    if (path := _PATH.search(text)) is not None:
        return path[1]
    name = _NAME.search(text)
    return (name[1] or name[2]) if name else None


def _retry_after(response: Response) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text)
    # Imported here, since its package takes as long to import as all of the client.
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
