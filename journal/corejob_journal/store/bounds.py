"""What the store keeps of a job's sources and of a class's cookie: as much as an object holds.

Both go into Kubernetes objects, of which etcd takes 1.5 MiB, and into pods' annotations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

MOST_SOURCES: Final = 300
MOST_SOURCES_BYTES: Final = 16 * 2**10
MOST_COOKIE_BYTES: Final = 256 * 2**10
"""Keys and values (as JSON) of all cookies of one qual_name."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that a job has named.

    Attributes:
        names: The newest, oldest first.
        dropped: How many there were before those. A name that was dropped and is named again counts
            anew.
    """

    names: tuple[str, ...] = ()
    dropped: int = 0

    def with_more(self, names: Iterable[str]) -> "Sources":
        """These and those that are new, the newest of them all."""
        every = list(dict.fromkeys([*self.names, *names]))
        start, size = len(every), 0
        while start > 0 and len(every) - start < MOST_SOURCES:
            size += len(every[start - 1].encode())
            if size > MOST_SOURCES_BYTES:
                break
            start -= 1
        return Sources(tuple(every[start:]), self.dropped + start)


class CookieSizes:
    """How large the cookies of one qual_name are: bytes of each key and its value."""

    def __init__(self, cookies: dict[str, Any]) -> None:
        self._sizes = {key: _size(key, value) for key, value in cookies.items()}
        self._total = sum(self._sizes.values())

    def take(self, key: str, value: Any) -> bool:
        """Count a change; False, and nothing counted, if there is no room for it."""
        before = self._sizes.get(key, 0)
        after = 0 if value is None else _size(key, value)
        if after > before and self._total - before + after > MOST_COOKIE_BYTES:
            return False
        self._total += after - before
        self._sizes[key] = after
        return True


def _size(key: str, value: Any) -> int:
    return len(key.encode()) + len(msgspec.json.encode(value))
