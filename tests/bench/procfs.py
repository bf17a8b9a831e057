"""Values of the kernel's texts in `/proc`."""

from pathlib import Path
from typing import Final

_STEAL: Final = 7


def mib(status: str, name: str) -> float:
    """Return a size in MiB from the text of `/proc/PID/status`.

    Args:
        status: The text.
        name: Name of the line, such as `VmRSS` (now) or `VmHWM` (the most so far).
    """
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def stat() -> str:
    """Return the text of this machine's `/proc/stat`."""
    return Path("/proc/stat").read_text(encoding="ascii")


def stolen(before: str, after: str) -> float:
    """Return the share of the processors' time that the host gave to others, 0 to 1.

    Args:
        before: The text of `/proc/stat`.
        after: The text at a later time.
    """
    taken = [late - early for early, late in zip(_ticks(before), _ticks(after), strict=True)]
    return taken[_STEAL] / sum(taken)


def _ticks(stat: str) -> list[int]:
    """Return the ticks of all processors: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(field) for field in stat.split("\n", 1)[0].split()[1 : _STEAL + 2]]


def boot_second(stat: str) -> int:
    """Return `btime` from the text of `/proc/stat`: the time of the boot, cut to whole seconds."""
    return int(next(line for line in stat.splitlines() if line.startswith("btime ")).split()[1])
