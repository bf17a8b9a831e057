"""Identity of a job: two jobs of one name and equal arguments are equal (docs/rest.md, "Enqueue").

Only one of several equal jobs may be in the queue at a time.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from corejob.args import LEAST_INTEGER, MOST_INTEGER

_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_PLAIN: Final = frozenset({str, bool, type(None)})
"""Types of values that need no change: most are."""
_OBJECTS: Final = (dict, Mapping)
_LISTS: Final = (list, tuple)


def identity(qual_name: str, args: Mapping[str, Any]) -> str:
    """Return 64 hex digits that are equal for equal jobs, however their args were stored.

    The order of keys is irrelevant and `1` equals `1.0`, since the API server turns `1.0` into `1`;
    `1`, `"1"` and true all differ.

    Args:
        qual_name: The job's name.
        args: Its keyword arguments, without the settable properties.
    """
    text = _encode([qual_name, _plain(args)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        # The API server makes a float of such an integer, and writes 1e20 with all digits.
        value = _float(value)
    if isinstance(value, float) and value.is_integer():
        # Not int(value): the API server writes the shortest digits that represent a large float.
        return int(Decimal(repr(value)))
    if isinstance(value, _OBJECTS):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, _LISTS):
        return [_plain(item) for item in value]
    return value


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
