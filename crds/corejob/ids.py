"""Job ids: 24 hex digits, ascending with time.

12 bytes: 4 of seconds and 2 of the second's fraction, then 3 of a counter and 3 of randomness, so
that ids of one process ascend strictly and those of two processes never meet.
"""

import hashlib
import re
import secrets
import threading
from datetime import UTC, datetime

_PATTERN = re.compile(r"[0-9a-f]{24}")
_lock = threading.Lock()
_last = 0


def is_id(text: str) -> bool:
    """Whether `text` has the form of a job id (lower case)."""
    return _PATTERN.fullmatch(text) is not None


def new_id(now: datetime) -> str:
    """A new job id, greater than all that this process made before, even if the clock went back."""
    global _last  # noqa: PLW0603  # one counter a process is the point
    with _lock:
        stamp = int(now.timestamp() * 65536) << 24
        _last = max(stamp, _last + 1)
        head = _last
    return f"{head:018x}{secrets.token_hex(3)}"


def derived_id(created: datetime, uid: str) -> str:
    """The id of a CoreJob that was not named by the API: from its creation time and uid alone.

    Every component computes the same one, so none has to be stored first.
    """
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"{int(created.timestamp() * 65536):012x}{digest[:12]}"


def created_at(job_id: str) -> datetime:
    """The time that an id was made at, to 1/65536 s."""
    return datetime.fromtimestamp(int(job_id[:12], 16) / 65536, UTC)
