"""Nesting depth of JSON values: values that are too deep for other components are refused."""

from typing import Any, Final

MOST_DEPTH: Final = 64
"""Maximum nesting of objects and lists that all components can read."""


def is_deep(value: Any) -> bool:
    """True if a value is nested deeper than `MOST_DEPTH` levels; works without recursion."""
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)
