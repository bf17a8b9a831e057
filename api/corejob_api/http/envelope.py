"""Write the envelope of every answer, and errors in the media type that the client accepts."""

import asyncio
import html
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from falcon.asgi import Request, Response

from corejob import timestamps
from corejob_api.http import call
from corejob_api.http.errors import ApiError
from corejob_api.http.paging import Window
from corejob_process.clock import Clock

JSON: Final = "application/json; charset=UTF-8"
_PIECE: Final = 100
_FORMS: Final = ("application/json", "text/html", "text/plain", "text/csv")
_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{code} {message}</title></head>
<body><h1>{code} {message}</h1><p>{error}</p>
<p><small>{version}, request {_id}, {timestamp}</small></p></body></html>
"""


class Envelope:
    """Writes answers in the envelope; its field `version` is `core4/<x.y.z>`."""

    def __init__(self, version: str, now: Clock) -> None:
        self._version = f"core4/{version}"
        self._now = now

    def answer(self, req: Request, resp: Response, data: Any) -> None:
        """Write an answer with status 200."""
        self._write(resp, {**self._frame(req, 200), "data": data})

    async def page(
        self, req: Request, resp: Response, rows: Sequence[Any], window: Window, **more: Any
    ) -> None:
        """Write a page of a listing; `more` are additional fields of the envelope."""
        paging = {
            "page": window.page,
            "page_count": window.page_count,
            "per_page": window.per_page,
            "count": len(rows),
            "total_count": window.total,
        }
        self._write(resp, {**self._frame(req, 200), **paging, **more, "data": await _encoded(rows)})

    async def rows(
        self, req: Request, resp: Response, rows: Sequence[Any], *, per_page: int, **more: Any
    ) -> None:
        """Write rows that are not a page of a whole: nothing is counted but the rows.

        Args:
            req: The request.
            resp: Gets the answer.
            rows: The rows.
            per_page: Maximum number of rows.
            more: Additional fields of the envelope.
        """
        unknown = dict.fromkeys(("page", "page_count", "total_count"))
        paging = {**unknown, "per_page": per_page, "count": len(rows)}
        self._write(resp, {**self._frame(req, 200), **paging, **more, "data": await _encoded(rows)})

    def error(self, req: Request, resp: Response, error: ApiError) -> None:
        """Write an error as JSON, HTML or text (plain or CSV), as the Accept header prefers."""
        body = {**self._frame(req, error.status), "error": error.text}
        resp.status = error.status
        resp.set_headers(error.headers)
        resp.stream = None
        form = req.client_prefers(_FORMS) or "application/json"
        if form == "application/json":
            self._write(resp, body)
            return
        resp.content_type = f"{form}; charset=UTF-8"
        if form == "text/html":
            page = _PAGE.format_map({name: html.escape(str(body[name])) for name in body})
            resp.data = page.encode()
        else:
            resp.data = f"{body['code']} {body['message']}: {error.text}\n".encode()

    def _frame(self, req: Request, code: int) -> dict[str, Any]:
        return {
            "_id": call.of(req).id,
            "version": self._version,
            "timestamp": timestamps.iso(self._now()),
            "message": HTTPStatus(code).phrase,
            "code": code,
        }

    @staticmethod
    def _write(resp: Response, body: dict[str, Any]) -> None:
        resp.content_type = JSON
        resp.data = msgspec.json.encode(body)


async def _encoded(rows: Sequence[Any]) -> msgspec.Raw:
    """Encode rows as JSON, in pieces, so that the event loop serves other requests in between."""
    parts: list[bytes] = []
    for start in range(0, len(rows), _PIECE):
        if start:
            await asyncio.sleep(0)
        parts.append(msgspec.json.encode(rows[start : start + _PIECE])[1:-1])
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")
