"""When two jobs are the same: one name and equal arguments (contract section 2).

Only one of them may be in the queue at a time.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def identity(qual_name: str, args: Mapping[str, Any]) -> str:
    """64 hex digits: equal for equal jobs.

    The order of keys is irrelevant and `1` equals `1.0`; `1`, `"1"` and true all differ.

    Args:
        qual_name: Which job.
        args: Its keyword arguments, without the settable properties.
    """
    text = json.dumps(
        [qual_name, _plain(args)], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
