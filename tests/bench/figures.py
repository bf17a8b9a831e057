"""Percentiles, and the difference between two series."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> str:
    """Return the median, and the least and the most if they differ."""
    middle, least, most = (f"{point(values):.2f}" for point in (median, min, max))
    return middle if least == most else f"{middle} ({least} to {most})"


def summary(name: str, seconds: Sequence[float], shares: Sequence[float]) -> dict[str, Any]:
    """Return the percentiles of one series in milliseconds, and the series itself."""
    points = {_label(share): round(percentile(seconds, share) * 1000, 2) for share in shares}
    return {"name": name, "count": len(seconds), **points, "ms": [_ms(value) for value in seconds]}


def comparison(ours: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return difference (ms) and ratio of each percentile of two summaries."""
    labels = [name for name in ours if name.startswith("p") and name in base]
    return {
        "of": ours["name"],
        "to": base["name"],
        "difference": {name: round(ours[name] - base[name], 2) for name in labels},
        "ratio": {
            name: round(ours[name] / base[name], 3) if base[name] else None for name in labels
        },
    }


def _label(share: float) -> str:
    return f"p{share * 100:g}"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
