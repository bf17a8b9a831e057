"""Pages of past jobs: supported orders and cursors."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request
from corejob_api.query.ordering import Sort
from corejob_journal.store.past import PastCursor, PastOrder

MOST_PER_PAGE: Final = 1000
_INDEXED: Final[dict[str, Literal["enqueued_at", "finished_at"]]] = {
    "enqueued.at": "enqueued_at",
    "finished_at": "finished_at",
}


def order_of(sort: Sort) -> PastOrder | None:
    """Return the store's order for a sort, or None if the store has no index for it."""
    match sort:
        case (("_id", direction), *_):  # ids are unique, so further keys have no effect
            return PastOrder("job_id", direction < 0, direction < 0)
        case ((name, direction),) if name in _INDEXED:
            return PastOrder(_INDEXED[name], direction < 0)
        case ((name, direction), ("_id", ids), *_) if name in _INDEXED:
            return PastOrder(_INDEXED[name], direction < 0, ids < 0)
    return None


@dataclass(frozen=True, slots=True)
class CursorRequest:
    """Request for a page by a cursor.

    Attributes:
        after: The job after which the page begins; None for the first page.
    """

    after: PastCursor | None


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    column: str
    descending: bool
    ids_descending: bool
    value: str
    job_id: str


def encode_cursor(order: PastOrder, after: PastCursor) -> str:
    """Return the text of the cursor of the page that begins after a job."""
    cursor = _Cursor(
        order.column, order.descending, order.ids_descending, after.value, after.job_id
    )
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def cursor_request(arguments: Arguments, order: PastOrder | None) -> CursorRequest | None:
    """Read the argument `cursor`; None if it is missing. An empty one requests the first page.

    Raises:
        ApiError: 400, the cursor is malformed, belongs to another sort, or comes with `page`.
    """
    text = arguments.optional_text("cursor")
    if text is None:
        return None
    if arguments.raw("page") is not None:
        raise bad_request("parameters [page] and [cursor] exclude each other")
    if order is None:
        raise bad_request("parameter [cursor] goes with a sort by _id, enqueued.at or finished_at")
    return CursorRequest(_decode_cursor(text, order) if text else None)


def _decode_cursor(text: str, order: PastOrder) -> PastCursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor: Any = msgspec.json.decode(raw, type=_Cursor)
    except (ValueError, binascii.Error):
        raise bad_request("parameter [cursor] is not a cursor of this server") from None
    if "\0" in cursor.value + cursor.job_id:
        raise bad_request("parameter [cursor] is not a cursor of this server")
    if (cursor.column, cursor.descending, cursor.ids_descending) != (
        order.column,
        order.descending,
        order.ids_descending,
    ):
        raise bad_request("parameter [cursor] belongs to another sort")
    return PastCursor(cursor.value, cursor.job_id)
