"""Processor time that processes use while there are no jobs, which is not a job's."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tests.bench.simulated import Measured

_PAUSE_S: Final = 10.0
"""Time after the last job in which the processes come to rest."""
_SAMPLE_S: Final = 20.0


def used(processes: Mapping[str, Measured]) -> dict[str, float]:
    """Return the processor time of each process so far, in seconds."""
    return {name: process.usage().cpu for name, process in processes.items()}


async def shares(processes: Mapping[str, Measured]) -> dict[str, float]:
    """Wait until the processes are idle; return the share of a processor that each then uses."""
    await asyncio.sleep(_PAUSE_S)
    before = used(processes)
    await asyncio.sleep(_SAMPLE_S)
    return {name: (now - before[name]) / _SAMPLE_S for name, now in used(processes).items()}


def lower(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the lower of two shares of each process: what disturbs an idle process adds to it.

    Args:
        before: Shares by process; one that is missing was not measured.
        after: The same, of all processes.
    """
    return {name: min(before.get(name, share), share) for name, share in after.items()}


def net(spent: Mapping[str, float], idle: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return the processor time of the jobs alone, in seconds.

    It is negative if the idle process used more than the busy one: then the sample is wrong, and
    the table shows it.

    Args:
        spent: Processor time of each process.
        idle: The share of a processor that each uses without jobs.
        seconds: Duration in which the time was spent.
    """
    return {name: whole - idle[name] * seconds for name, whole in spent.items()}
