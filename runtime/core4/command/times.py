"""Times: relative for people at a terminal, ISO 8601 in UTC for pipes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"(?:\d+[smhdw])+")
_PART: Final = re.compile(r"(\d+)([smhdw])")


def span(seconds: float) -> str:
    """Return a span of time with its two largest units: `3s`, `5m12s`, `2d3h`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, _UNITS[unit])
        if number or (unit == "s" and not parts):
            parts.append(f"{number}{unit}")
        elif parts:
            break
    return "".join(parts[:2])


def iso(moment: datetime | None) -> str:
    """Return a time in UTC as ISO 8601, or an empty text."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def local(moment: datetime | None) -> str:
    """Return a time in the local zone, or an empty text."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a time was, or `in …` for one to come; an empty text for None."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    return span(seconds) if seconds >= 0 else f"in {span(-seconds)}"


def parse_span(text: str) -> float:
    """Return the seconds of a span such as `90`, `10m` or `1h30m`.

    Raises:
        ValueError: The text is not a span.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if match := re.fullmatch(r"(\d+\.\d+)([smhdw])", text):
        return float(match[1]) * _UNITS[match[2]]
    if not _SPAN.fullmatch(text):
        raise ValueError(f"expected seconds, or a span such as 30s, 10m or 1h30m, got {text!r}")
    return float(sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


class Span(click.ParamType[float]):
    """A span of time, in seconds."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        try:
            return value if isinstance(value, float) else parse_span(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601 (UTC unless it has an offset), or a span before now."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, aware."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            return datetime.now(UTC) - timedelta(seconds=parse_span(text))
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"expected ISO 8601 such as 2026-11-24T12:00, or a span such as 10m, got {text!r}",
                param,
                ctx,
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
