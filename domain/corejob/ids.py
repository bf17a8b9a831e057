"""Job ids: 24 hex digits, ascending with time.

An id has 12 bytes: 4 of seconds and 2 of the second's fraction, then 3 of a counter and 3 random
ones, so that the ids of one process ascend strictly and those of two processes do not collide.
"""

import hashlib
import random
import re
import threading
from datetime import UTC, datetime

_PATTERN = re.compile(r"[0-9a-f]{24}")
_lock = threading.Lock()
_last = 0


def is_id(text: str) -> bool:
    """True if `text` has the form of a job id (24 hex digits, lower case)."""
    return _PATTERN.fullmatch(text) is not None


def new_id(now: datetime) -> str:
    """Return a new job id, greater than all earlier ones of this process.

    That holds even if the clock was set back.
    """
    global _last  # noqa: PLW0603  # one counter a process is the point
    with _lock:
        stamp = int(now.timestamp() * 65536) << 24
        _last = max(stamp, _last + 1)
        head = _last
    # Not `secrets`, which costs a system call of up to 0.4 ms, twice in each request: the digits
    # need to differ between processes, not to be secret.
    return f"{head:018x}{random.getrandbits(24):06x}"


def derived_id(created: datetime, uid: str) -> str:
    """Return the id of a CoreJob that the API did not name, from its creation time and uid.

    Every component computes the same id, so that it need not be stored first.
    """
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"{int(created.timestamp() * 65536):012x}{digest[:12]}"


def created_at(job_id: str) -> datetime:
    """Return the creation time of an id, exact to 1/65536 s."""
    return datetime.fromtimestamp(int(job_id[:12], 16) / 65536, UTC)
