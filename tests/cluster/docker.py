"""Whether a Docker engine answers."""

import functools
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
