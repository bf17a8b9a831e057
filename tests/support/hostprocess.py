"""Processes of pods as this machine sees them: to kill or stop one as no pod can do it to itself.

The first process of a container is deaf to SIGKILL and SIGSTOP from inside. On a node that is this
machine, or a container on it, the process is among this machine's own. Tests that use this module
are marked `host`.
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
    """Why the pods' processes can't be signalled from here; None if they can."""
    if (reason := provider.distant()) is not None:
        return reason
    return None if os.geteuid() == 0 else "only root may signal the processes of pods"


def pid(pod_uid: str, program: str) -> int:
    """The process of a pod whose command line holds the program's name.

    A container that has just started may not have come to its program yet.
    """
    found = until(
        lambda: sorted(_pids(pod_uid, program)),
        what=f"a process {program} of the pod {pod_uid} is on this machine",
    )
    return found[0]


def kill(pod_uid: str, program: str) -> None:
    """End it without a last word."""
    os.kill(pid(pod_uid, program), signal.SIGKILL)


@contextlib.contextmanager
def stopped(pod_uid: str, program: str) -> Iterator[None]:
    """It does not run meanwhile, and knows nothing of it."""
    number = pid(pod_uid, program)
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # the kubelet may have lost its patience
            os.kill(number, signal.SIGCONT)


def _pids(pod_uid: str, program: str) -> Iterator[int]:
    # The systemd driver of cgroups writes underscores.
    names = (pod_uid, pod_uid.replace("-", "_"))
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            group = (folder / "cgroup").read_text(encoding="ascii")
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            if program in command and any(name in group for name in names):
                yield int(folder.name)
