"""A cache of objects that keeps the newest version of each, whatever the order of updates.

Resource versions of one kind are ordered numbers (KEP-5504), so a watch that lags behind our own
writes can't overwrite them.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

log = logging.getLogger(__name__)

_MOST_TOMBSTONES: Final = 10_000
"""Maximum of remembered deletions; needed only while own writes and watch events can overlap."""

Body = dict[str, Any]
Listener = Callable[[str, Body | None, Body | None], None]
"""Called with the object's name, its old and its new JSON.

The old one is None for a new object, the new one None for a deleted object.
"""

Keep = Callable[[Body], Body]
"""Returns the part of an object that a cache keeps, and of that part the same again.

It keeps `metadata` with at least the name, the uid and the resource version.
"""


class ObjectCache:
    """The objects of one kind in one namespace, by name.

    Args:
        kind: The kind, for log texts.
        most_tombstones: Number of deletions that the cache remembers.
        keep: Returns the part of an object to keep, as client-go's `SetTransform`; None keeps all.

    Attributes:
        watched_version: Newest resource version that the kind's watch has delivered; 0 = none yet.
    """

    def __init__(
        self, kind: str, *, most_tombstones: int = _MOST_TOMBSTONES, keep: Keep | None = None
    ) -> None:
        self._kind = kind
        self._most_tombstones = most_tombstones
        self._keep = keep
        self._objects: dict[str, Body] = {}
        self._tombstones: dict[str, int] = {}
        self._listeners: list[Listener] = []
        self.watched_version = 0

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each change from now on, in order. It must not block."""
        self._listeners.append(listener)

    def get(self, name: str) -> Body | None:
        """Return the object of that name, or None. The caller must not change the object."""
        return self._objects.get(name)

    def __iter__(self) -> Iterator[Body]:
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def on_event(self, kind: str | None, body: Body) -> None:
        """Take a watch event into the cache.

        Args:
            kind: The event's type: `DELETED`, or any other; None for an object of the first list.
            body: The object.
        """
        self.reached(body["metadata"]["resourceVersion"])
        if kind == "DELETED":
            self.drop(body)
        else:
            self.put(body)

    def reached(self, version: str) -> None:
        """Note that the watch has delivered all changes up to this resource version."""
        self.watched_version = max(self.watched_version, int(version))

    def put(self, body: Body) -> None:
        """Store an object, unless the cache has a newer version or knows of its deletion."""
        name = body["metadata"]["name"]
        if self.knows(name, body["metadata"]["resourceVersion"]):
            return
        old = self._objects.get(name)
        kept = self._objects[name] = body if self._keep is None else self._keep(body)
        self._tell(name, old, kept)

    def knows(self, name: str, version: str) -> bool:
        """True if the cache has this version of an object or a newer one, or its deletion."""
        old = self._objects.get(name)
        if old is not None and int(old["metadata"]["resourceVersion"]) >= int(version):
            return True
        return self._tombstones.get(name, 0) >= int(version)

    def drop(self, body: Body) -> None:
        """Remove a deleted object; `body` is its last JSON, with the deletion's version."""
        self._drop(body["metadata"]["name"], int(body["metadata"]["resourceVersion"]), body)

    def forget(self, name: str) -> None:
        """Remove an object that a read just now did not find (404)."""
        old = self._objects.get(name)
        if old is not None:
            self._drop(name, int(old["metadata"]["resourceVersion"]), old)

    def replace(self, items: Sequence[Body], version: str) -> None:
        """Store a complete list of that version; remove the objects that are missing in it.

        An object that is newer than the list stays.
        """
        present = set()
        for item in items:
            try:
                self.put(item)
                present.add(item["metadata"]["name"])
            except (AttributeError, LookupError, TypeError, ValueError):
                # A malformed object must not block the other objects.
                log.exception("an object of %s is passed over", self._kind)
        for name in [name for name in self._objects if name not in present]:
            self._drop(name, int(version), self._objects[name])
        horizon = int(version)
        self._tombstones = {
            name: deleted for name, deleted in self._tombstones.items() if deleted >= horizon
        }

    def _drop(self, name: str, version: int, body: Body) -> None:
        old = self._objects.get(name)
        if old is not None and int(old["metadata"]["resourceVersion"]) > version:
            return
        self._tombstones[name] = max(version, self._tombstones.get(name, 0))
        if len(self._tombstones) > self._most_tombstones:
            del self._tombstones[next(iter(self._tombstones))]
        if old is not None:
            del self._objects[name]
            self._tell(name, body, None)

    def _tell(self, name: str, old: Body | None, new: Body | None) -> None:
        for listener in self._listeners:
            try:
                listener(name, old, new)
            except Exception:
                log.exception("a listener of %s failed on %s", self._kind, name)
