"""Times as text: RFC 3339 in Kubernetes objects, ISO 8601 without offset in the job document."""

from datetime import UTC, datetime
from typing import Any


def parse(text: str | None) -> datetime | None:
    """Parse a time of a resource (RFC 3339) into an aware datetime in UTC; None for None.

    The text has `Z` or an offset; without either it counts as UTC.

    Raises:
        ValueError: The text is not a time, or outside the years 1 to 9999.
    """
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is before the year 1 or after 9999 in UTC") from None


def lenient(text: Any) -> datetime | None:
    """Parse a time that a user wrote; None if it is not a time that Python can represent."""
    try:
        return parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def render(moment: datetime | None) -> str | None:
    """Format a time for a resource: RFC 3339, UTC, microseconds (metav1.MicroTime)."""
    if moment is None:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso(moment: datetime | None) -> str | None:
    """Format a time for the REST API: UTC, ISO 8601 without an offset (docs/rest.md)."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def from_epoch(seconds: float) -> datetime:
    """Return an aware datetime in UTC from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
