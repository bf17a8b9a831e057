"""The clock that the parts of a process are given."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Tells the time, as an aware datetime in UTC."""


def system_clock() -> datetime:
    """The real time."""
    return datetime.now(UTC)
