"""When two jobs are the same: one name and equal arguments (contract section 2).

Only one of them may be in the queue at a time.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from corejob.args import LEAST_INTEGER, MOST_INTEGER


def identity(qual_name: str, args: Mapping[str, Any]) -> str:
    """64 hex digits: equal for equal jobs, whatever way their args have come.

    The order of keys is irrelevant and `1` equals `1.0`, since the API server turns one into the
    other; `1`, `"1"` and true all differ.

    Args:
        qual_name: Which job.
        args: Its keyword arguments, without the settable properties.
    """
    text = json.dumps(
        [qual_name, _plain(args)], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        # A float in the API server's hands: it writes 1e20 with all digits.
        value = _float(value)
    if isinstance(value, float) and value.is_integer():
        # Not int(value): of a large one the API server writes the shortest digits that mean it.
        return int(Decimal(repr(value)))
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
