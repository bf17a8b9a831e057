"""Values of the kernel's texts in `/proc`."""


def mib(status: str, name: str) -> float:
    """Return a size in MiB from the text of `/proc/PID/status`.

    Args:
        status: The text.
        name: Name of the line, such as `VmRSS` (now) or `VmHWM` (the most so far).
    """
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def boot_second(stat: str) -> int:
    """Return `btime` from the text of `/proc/stat`: the time of the boot, cut to whole seconds."""
    return int(next(line for line in stat.splitlines() if line.startswith("btime ")).split()[1])
