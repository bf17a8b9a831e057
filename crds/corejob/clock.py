"""Times as text: Kubernetes' RFC 3339 on resources, ISO without an offset in the job document."""

from datetime import UTC, datetime
from typing import Any


def parse(text: str | None) -> datetime | None:
    """A time of a resource (RFC 3339, `Z` or an offset) as an aware datetime in UTC; None for None.

    Raises:
        ValueError: The text is no time.
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
    """A time that a user wrote; None if it is none, or none that Python can tell."""
    try:
        return parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def render(moment: datetime | None) -> str | None:
    """A time for a resource: RFC 3339, UTC, microseconds (metav1.MicroTime)."""
    if moment is None:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso(moment: datetime | None) -> str | None:
    """A time for the REST API: UTC, ISO 8601 without an offset (contract section 1)."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def from_epoch(seconds: float) -> datetime:
    """An aware datetime in UTC from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
