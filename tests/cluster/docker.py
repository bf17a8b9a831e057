"""Whether a Docker engine answers, and what it is like."""

import functools
import os
import platform
import shutil

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError


@functools.cache
def unavailable() -> str | None:
    """What is missing; None if an engine answers. A client alone is not enough."""
    if shutil.which("docker") is None:
        return "no docker program"
    try:
        answered = run(["docker", "info"], check=False, timeout=15).returncode == 0
    except ClusterError:
        answered = False
    return None if answered else "no Docker engine answers (`docker info`)"


def user() -> str:
    """The user of a container whose files in a mounted folder are to be this user's."""
    if os.geteuid() == 0 or "rootless" in _told("{{.SecurityOptions}}"):
        # An engine without root takes root in a container for the user that it runs as.
        return "0:0"
    return f"{os.getuid()}:{os.getgid()}"


def is_here() -> bool:
    """Whether it runs on this machine itself; Docker Desktop's runs on a virtual one."""
    return _told("{{.Name}}") == platform.node()


def _told(what: str) -> str:
    return run(["docker", "info", "--format", what], check=False, timeout=15).stdout.strip()
