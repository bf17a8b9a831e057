"""From the API server's JSON to values, whatever is in the objects.

Anybody who may create a CoreJob decides how deep it is nested, and a parser of today fails at some
hundred levels. Such an object is *unreadable*: what lies too deep is left out, and the object says
so in `core4.io/unreadable`, where no object of Kubernetes can have a field. So it has its name, its
version and its status like any other, and nobody else's object suffers.
"""

import logging
import secrets
from collections import OrderedDict
from typing import Any, Final

import msgspec

from corejob.names import UNREADABLE
from corejob.nesting import MAX_DEPTH, cut, is_deeper

log = logging.getLogger(__name__)

LIST_LEVELS: Final = 2
"""Levels of a list around its objects."""
EVENT_LEVELS: Final = 1
"""Levels of an event of a watch around its object."""

_TOLD_MOST: Final = 1000
_WHY: Final = f"it is nested deeper than {MAX_DEPTH} levels; what lies deeper is left out"


class _Raws(msgspec.Struct):
    """A list whose objects are not decoded yet."""

    metadata: dict[str, Any]
    items: list[msgspec.Raw] = []


class Decoder:
    """Decodes answers, and says of each version of an unreadable object once that it is one."""

    def __init__(self) -> None:
        # In place of what is left out, until the object is marked. Nobody can guess it.
        self._cut = f"cut-{secrets.token_hex(16)}"
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def decode(self, data: bytes, levels: int = 0) -> Any:
        """An answer's JSON; objects in it that are unreadable are cut and say so.

        Args:
            data: The JSON.
            levels: How many levels lie around the objects in it: LIST_LEVELS, EVENT_LEVELS, or 0.

        Raises:
            ValueError: It is no JSON (msgspec.DecodeError).
        """
        limit = MAX_DEPTH + levels
        if not is_deeper(data, limit):
            try:
                return _decode(data)
            except msgspec.DecodeError:
                if levels != LIST_LEVELS:
                    raise
                return _item_by_item(data)
        value = _decode(cut(data, limit, msgspec.json.encode(self._cut)))
        for body in _objects(value, levels):
            if isinstance(body, dict) and self._clean(body):
                body[UNREADABLE] = _WHY
                self._tell(body)
        return value

    def readable(self, line: bytes) -> bytes:
        """A line of a watch as it is, or cut and marked if its object is unreadable."""
        if not is_deeper(line, MAX_DEPTH + EVENT_LEVELS):
            return line
        return msgspec.json.encode(self.decode(line, EVENT_LEVELS))

    def _clean(self, value: Any) -> bool:
        """Put None where something was left out; whether something was."""
        found = False
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(pairs):
            if inner == self._cut:
                value[key] = None
                found = True
            elif isinstance(inner, dict | list):
                found = self._clean(inner) or found
        return found

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
    """A list without the objects that can't be decoded."""
    raws = msgspec.json.decode(data, type=_Raws)
    items = []
    for raw in raws.items:
        try:
            items.append(_decode(raw))
        except msgspec.DecodeError as error:
            log.error("an object is passed over: %s: %r", error, bytes(raw)[:200])  # noqa: TRY400
    return {"metadata": raws.metadata, "items": items}


def _objects(value: Any, levels: int) -> list[Any]:
    if not isinstance(value, dict):
        return []
    if levels == LIST_LEVELS and "items" in value:
        return list(value["items"] or ())
    if levels == EVENT_LEVELS:
        return [value.get("object")]
    return [value]
