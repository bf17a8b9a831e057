"""The Docker engine: its availability and properties, and the record of images that we made."""

import functools
import os
import platform
import shutil
from collections.abc import Sequence

from tests.cluster import cache
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError

_RECORD = "docker-images"


@functools.cache
def unavailable() -> str | None:
    """Return what is missing; None if an engine answers. A client alone is not enough."""
    if shutil.which("docker") is None:
        return "no docker program"
    try:
        answer = run(["docker", "info"], check=False, timeout=15)
    except ClusterError as error:
        return f"no Docker engine answers: {error}"
    if answer.returncode == 0:
        return None
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    return f"no Docker engine answers (`docker info`{f': {lines[-1].strip()}' if lines else ''})"


def user() -> str:
    """Return `uid:gid` for a container, so that its files in mounts belong to this user."""
    if os.geteuid() == 0 or "rootless" in _told("{{.SecurityOptions}}"):
        # A rootless engine maps root in a container to its own user.
        return "0:0"
    return f"{os.getuid()}:{os.getgid()}"


def is_here() -> bool:
    """True if the engine runs on this machine; Docker Desktop's runs in a virtual machine."""
    return _told("{{.Name}}") == platform.node()


def has_image(reference: str) -> bool:
    """True if the engine has the image."""
    return run(["docker", "image", "inspect", reference], check=False).returncode == 0


def note_image(reference: str) -> None:
    """Record an image that we added to the engine, so that `clean` deletes it."""
    with cache.locked(_RECORD):
        references = noted_images()
        if reference not in references:
            cache.write(cache.cache_dir() / _RECORD, "\n".join([*references, reference]))


def noted_images() -> Sequence[str]:
    """Return the recorded images, oldest first."""
    path = cache.cache_dir() / _RECORD
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def forget_images() -> None:
    """Delete the record of images."""
    (cache.cache_dir() / _RECORD).unlink(missing_ok=True)


def _told(what: str) -> str:
    return run(["docker", "info", "--format", what], check=False, timeout=15).stdout.strip()
