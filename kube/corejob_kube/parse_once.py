"""Objects as typed values, each version parsed once although several parts of a process read it."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from corejob_kube.cache import Body
from corejob_process.lru import LruMap

T = TypeVar("T")

_MOST: Final = 1024
"""Values that are kept: enough for the objects that change now, a small part of a long queue."""


class ParseOnce(Generic[T]):
    """A parse function that returns the same value for the same version of an object.

    Args:
        parse: Parses an object; its result must not change.
        most: Maximum number of values kept; the least recently parsed one goes first.
    """

    def __init__(self, parse: Callable[[Body], T], *, most: int = _MOST) -> None:
        self._parse = parse
        self._values: LruMap[str, tuple[Body, T]] = LruMap(most)

    def __call__(self, body: Body) -> T:
        """Return the value of an object as a cache has it, which nobody changes."""
        name = body["metadata"]["name"]
        kept = self._values.get(name)
        # By identity: bodies that are not a cache's may be equal in version and differ.
        if kept is not None and kept[0] is body:
            return kept[1]
        value = self._parse(body)
        self._values.put(name, (body, value))
        return value
