"""How deeply a JSON value is nested: what is deeper than others can read has to stay outside."""

from typing import Any, Final

MOST_DEPTH: Final = 64
"""Levels of objects and lists in each other that all components take."""


def is_deep(value: Any) -> bool:
    """True if a value is nested deeper than `MOST_DEPTH`; without recursion."""
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
