"""Size limits of a job's sources and of a class's cookie.

Both are written into Kubernetes objects, which etcd limits to 1.5 MiB, and into pods' annotations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

MOST_SOURCES: Final = 300
MOST_SOURCES_BYTES: Final = 16 * 2**10
MOST_COOKIE_BYTES: Final = 256 * 2**10
"""Limit of the keys and values (as JSON) of all cookies of one qual_name."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that a job has named.

    Attributes:
        names: The newest sources, oldest first.
        dropped: Number of earlier sources that were dropped. A dropped source that is named again
            counts again.
    """

    names: tuple[str, ...] = ()
    dropped: int = 0

    def with_more(self, names: Iterable[str]) -> "Sources":
        """Return the sources with `names` added, cut to the newest that fit into the limits."""
        every = list(dict.fromkeys([*self.names, *names]))
        start, size = len(every), 0
        while start > 0 and len(every) - start < MOST_SOURCES:
            size += len(every[start - 1].encode())
            if size > MOST_SOURCES_BYTES:
                break
            start -= 1
        return Sources(tuple(every[start:]), self.dropped + start)


class CookieSizes:
    """Sizes of the cookies of one qual_name: key plus JSON value, in bytes."""

    def __init__(self, cookies: dict[str, Any]) -> None:
        self._sizes = {key: _size(key, value) for key, value in cookies.items()}
        self._total = sum(self._sizes.values())

    def take(self, key: str, value: Any) -> bool:
        """Count a change (value None deletes). Return False, without counting it, if too large."""
        before = self._sizes.get(key, 0)
        after = 0 if value is None else _size(key, value)
        if after > before and self._total - before + after > MOST_COOKIE_BYTES:
            return False
        self._total += after - before
        self._sizes[key] = after
        return True


def _size(key: str, value: Any) -> int:
    return len(key.encode()) + len(msgspec.json.encode(value))
