"""The figures of one step of `throughput`, calculated from the observations of both sides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.figures import percentile

_CATCHING_UP_S: Final = 1.0
"""Time that a tail has, from its first chunk on, for the lines written before it began."""
_SHARES: Final = (0.5, 0.99)
_KEPT: Final = ("name", "rate", "lost")
"""Columns without a ratio."""

Delay = tuple[float, float]
"""The time at which a line was written, and its delay in seconds."""


@dataclass(slots=True)
class Seen:
    """Observations of one job by a client; times are those of the clock, in seconds.

    Attributes:
        pod: Name of its pod.
        looks: Time of each request, and the number of the newest record then.
        behind: Time of the record after that, and how long it had been waiting.
        first: Time of the first line.
        last: Time of the last line.
        stored: Time at which the last record was stored.
        complete: Time at which `status.log` said that the log is complete.
        named: True if it said that lines are missing.
    """

    pod: str
    looks: list[tuple[float, int]] = field(default_factory=list)
    behind: list[Delay] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    stored: float = 0.0
    complete: float = 0.0
    named: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """Usage of one side for all lines.

    Attributes:
        cpu: Processor time in seconds.
        mib: Most memory in MiB.
    """

    cpu: float
    mib: float


def recorder(
    jobs: Sequence[Seen], since: Sequence[float], cost: Cost, *, lines: int
) -> dict[str, float]:
    """Return the figures of the recorder.

    Args:
        jobs: The jobs.
        since: Time of each job, see `steady_since`.
        cost: Usage of the recorder.
        lines: Number of lines of all jobs.
    """
    rate = lines / len(jobs) * sum(1 / (job.stored - job.first) for job in jobs)
    return {
        "lines/s": round(rate),
        **_behind([job.behind for job in jobs], jobs, since),
        "end ms": _ms(max(job.complete - job.last for job in jobs)),
        **_cost(cost, jobs, lines),
    }


def raw_tail(
    jobs: Sequence[Seen],
    tails: Sequence[Mapping[str, Any]],
    since: Sequence[float],
    cost: Cost,
    *,
    lines: int,
) -> dict[str, float]:
    """Return the figures of the tail of the same jobs, on the same bases."""
    pairs = list(zip(jobs, tails, strict=True))
    # Until the last line arrived, as the recorder's is until it was stored.
    rate = sum(tail["lines"] / (_arrivals(tail)[-1] - job.first) for job, tail in pairs)
    return {
        "lines/s": round(rate),
        **_behind([tail["behind"] for tail in tails], jobs, since),
        "end ms": _ms(max(tail["ended"] - job.last for job, tail in pairs)),
        **_cost(cost, jobs, lines),
        "lost": sum(tail["number"] - tail["lines"] for tail in tails),
    }


def steady_since(tails: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return for each tail the time from which on it receives lines as they are written.

    It begins later than the pod, and first gets the lines written before.
    """
    return [_arrivals(tail)[0] + _CATCHING_UP_S for tail in tails]


def ratio(ours: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, str]:
    """Return ours as multiples of the base, by column."""
    return {
        name: f"x{ours[name] / value:.2f}"
        for name, value in base.items()
        if name not in _KEPT and value
    }


def _arrivals(tail: Mapping[str, Any]) -> list[float]:
    """Return the times at which the chunks arrived that end a line."""
    return [epoch + delay for epoch, delay in tail["behind"]]


def _behind(
    pods: Sequence[Sequence[Delay]], jobs: Sequence[Seen], since: Sequence[float]
) -> dict[str, float]:
    """Return percentiles of the delays, of lines written while all followed but each pod's last."""
    late = [
        delay
        for delays, job, start in zip(pods, jobs, since, strict=True)
        for epoch, delay in delays
        if start < epoch < job.last
    ]
    assert late, "no line was written after the tail had caught up: write for more --seconds"
    return {f"p{share * 100:g} ms": _ms(percentile(late, share)) for share in _SHARES}


def _cost(cost: Cost, jobs: Sequence[Seen], lines: int) -> dict[str, float]:
    # The same duration for both sides: the waiting before the first line is nobody's.
    seconds = max(job.complete for job in jobs) - min(job.first for job in jobs)
    return {
        "cores": round(cost.cpu / seconds, 3),
        "us/line": round(cost.cpu / lines * 1e6, 1),
        "MiB": round(cost.mib, 1),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
