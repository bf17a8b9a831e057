"""Kill or stop processes of pods from this machine.

The first process of a container ignores SIGKILL and SIGSTOP from inside it. If the node is this
machine, or a container on it, the process is visible here. Tests that use this module are marked
`host`.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.provider import Provider
from tests.support.waiting import until

_PROC = Path("/proc")


def unreachable(provider: Provider) -> str | None:
    """Return why the pods' processes can't be signalled from here; None if they can."""
    if (reason := provider.distant()) is not None:
        return reason
    return None if os.geteuid() == 0 else "only root may signal the processes of pods"


def pid(pod_uid: str, program: str) -> int:
    """Return the pid of a pod's process whose command line contains the program's name.

    Waits, since a container that has just started may not run its program yet.
    """
    found = until(
        lambda: sorted(_pids(pod_uid, program)),
        what=f"a process {program} of the pod {pod_uid} is on this machine",
    )
    return found[0]


def kill(pod_uid: str, program: str) -> None:
    """Send SIGKILL to the process."""
    os.kill(pid(pod_uid, program), signal.SIGKILL)


def open_files(number: int) -> Iterator[Path]:
    """Yield the paths of the files that a process has open, by their present names."""
    for link in (_PROC / str(number) / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            yield Path(str(link.readlink()).removesuffix(" (deleted)"))


@contextlib.contextmanager
def stopped(pod_uid: str, program: str) -> Iterator[None]:
    """Stop the process with SIGSTOP while the context lasts."""
    number = pid(pod_uid, program)
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # its liveness probe may have failed
            os.kill(number, signal.SIGCONT)


def _pids(pod_uid: str, program: str) -> Iterator[int]:
    # The systemd cgroup driver writes underscores.
    names = (pod_uid, pod_uid.replace("-", "_"))
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            group = (folder / "cgroup").read_text(encoding="ascii")
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            if program in command and any(name in group for name in names):
                yield int(folder.name)
