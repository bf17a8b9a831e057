"""Which recorder does what, when there are several: a function of who lives and of the key.

Rendezvous hashing: each member draws a number for each key, the highest one has it. So all who see
the same members agree without a word, and who comes or goes moves only what becomes or was theirs.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

SHARED_DUTIES: Final = "shared duties"
"""The key of what only one recorder does; it can't be a CoreJob's name."""


def owner(members: Iterable[str], key: str) -> str:
    """The member that a key belongs to."""
    return max(members, key=lambda member: (_draw(member, key), member))


def _draw(member: str, key: str) -> bytes:
    return hashlib.blake2b(f"{member}\n{key}".encode(), digest_size=8).digest()
