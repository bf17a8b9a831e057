"""Assign keys to recorders by rendezvous hashing, a pure function of the live members and the key.

Each member has a hash for each key, and the highest hash wins. All recorders that see the same
members agree without communication, and a member that joins or leaves moves only its own keys.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

SHARED_DUTIES: Final = "shared duties"
"""The key of the duties that only one recorder has; it can't be a CoreJob's name."""


def owner(members: Iterable[str], key: str) -> str:
    """Return the member that owns a key."""
    return max(members, key=lambda member: (_draw(member, key), member))


def _draw(member: str, key: str) -> bytes:
    return hashlib.blake2b(f"{member}\n{key}".encode(), digest_size=8).digest()
