"""Decoding of the API server's JSON, including objects that are nested too deeply for parsers.

Any user who may create a CoreJob chooses its nesting, and JSON parsers fail at some hundred levels.
Such an object is *unreadable*: the decoder cuts the parts that are too deep, and marks the object
by the key `core4.io/unreadable`, which is no field of any Kubernetes object. So the object still
has its name, version and status, and other objects are not affected.

`metadata.managedFields` is a large part of an object, and a larger part of its memory. The decoder
keeps only the times of changes outside the status, which are all that is read of it.
"""

import logging
import secrets
from collections import OrderedDict
from typing import Any, Final

import msgspec

from corejob.names import UNREADABLE
from corejob.nesting import MAX_OBJECT_DEPTH, cut_text, is_text_deeper

log = logging.getLogger(__name__)

LIST_LEVELS: Final = 2
"""Number of levels of a list around its objects."""
EVENT_LEVELS: Final = 1
"""Number of levels of a watch event around its object."""

_TOLD_MOST: Final = 1000
_WHY: Final = f"it is nested deeper than {MAX_OBJECT_DEPTH} levels; what lies deeper is left out"


class _Raws(msgspec.Struct):
    """A list with its objects as raw JSON."""

    metadata: dict[str, Any]
    items: list[msgspec.Raw] = []


class Decoder:
    """Decodes answers, and logs each version of an unreadable object once."""

    def __init__(self) -> None:
        # Placeholder of a cut part until the object is marked; random, so that no user forges it.
        self._cut = f"cut-{secrets.token_hex(16)}"
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def decode(self, data: bytes, levels: int = 0, *, bounded: bool = False) -> Any:
        """Decode an answer; cut and mark the unreadable objects in it.

        Args:
            data: The JSON.
            levels: Number of levels around the objects in it: LIST_LEVELS, EVENT_LEVELS, or 0.
            bounded: True if the kind's own schema bounds the nesting. To measure it would take
                longer than to decode a pod.

        Raises:
            ValueError: The data is not JSON (msgspec.DecodeError).
        """
        limit = MAX_OBJECT_DEPTH + levels
        if not bounded and is_text_deeper(data, limit):
            return self._decode_deep(data, limit, levels)
        try:
            value = _decode(data)
        except msgspec.DecodeError:
            if levels != LIST_LEVELS:
                raise
            value = _item_by_item(data)
        for body in _objects(value, levels):
            _trim(body)
        return value

    def readable(self, line: bytes) -> bytes:
        """Return a line of a watch unchanged, or cut and marked if its object is unreadable."""
        if not is_text_deeper(line, MAX_OBJECT_DEPTH + EVENT_LEVELS):
            return line
        return msgspec.json.encode(self.decode(line, EVENT_LEVELS))

    def _decode_deep(self, data: bytes, limit: int, levels: int) -> Any:
        value = _decode(cut_text(data, limit, msgspec.json.encode(self._cut)))
        for body in _objects(value, levels):
            _trim(body)
            if self._clean(body):
                body[UNREADABLE] = _WHY
                self._tell(body)
        return value

    def _clean(self, value: Any) -> bool:
        """Replace the placeholders by None; return True if there were any."""
        replaced = False
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(pairs):
            if inner == self._cut:
                value[key] = None
                replaced = True
            elif isinstance(inner, dict | list):
                replaced = self._clean(inner) or replaced
        return replaced

    def _tell(self, body: dict[str, Any]) -> None:
        meta = body.get("metadata") or {}
        key = (str(meta.get("uid")), str(meta.get("resourceVersion")))
        if key in self._told:
            return
        self._told[key] = None
        if len(self._told) > _TOLD_MOST:
            self._told.popitem(last=False)
        kind = body.get("kind") or "object"
        log.warning("the %s %s is unreadable: %s", kind, meta.get("name"), _WHY)


def _decode(data: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(str(error)) from error


def _item_by_item(data: bytes) -> dict[str, Any]:
    """Decode a list without the objects that can't be decoded; log those."""
    raws = msgspec.json.decode(data, type=_Raws)
    items = []
    for raw in raws.items:
        try:
            items.append(_decode(raw))
        except msgspec.DecodeError as error:
            log.error("an object is passed over: %s: %r", error, bytes(raw)[:200])  # noqa: TRY400
    return {"metadata": raws.metadata, "items": items}


def _objects(value: Any, levels: int) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    if levels == LIST_LEVELS and "items" in value:
        bodies = value["items"] or ()
    elif levels == EVENT_LEVELS:
        bodies = (value.get("object"),)
    else:
        bodies = (value,)
    return [body for body in bodies if isinstance(body, dict)]


def _trim(body: dict[str, Any]) -> None:
    """Reduce `metadata.managedFields` to the times of the changes outside the status."""
    meta = body.get("metadata")
    if not isinstance(meta, dict) or not meta.get("managedFields"):
        return
    meta["managedFields"] = [
        {"time": entry.get("time")}
        for entry in meta["managedFields"]
        if entry.get("subresource") != "status"
    ]
