"""Delete what `down` keeps to make the next start quick."""

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import docker, engines, remains
from tests.cluster.cache import cache_dir, locked
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.output import say

# Docker network that kind creates and never deletes.
_NETWORK = "kind"
# All entries ever made in the cache, which may be a folder with other contents.
_PARTS = (
    "bin",
    "containers",
    "docker-images",
    "forward",
    "go",
    "helm",
    "images",
    "kind",
    "locks",
    "nodeimage",
    "started.json",
    "values",
    "wheels",
)


def kept() -> Sequence[str]:
    """Return short descriptions of what remains after `down`."""
    remains = [str(cache_dir())] if _parts() else []
    if images := docker.noted_images():
        remains.append(f"{len(images)} images in Docker and its network `{_NETWORK}`")
    return remains


def clean() -> None:
    """Delete the cache, and the images and the network that we made in Docker.

    Raises:
        ClusterError: something is still mounted in the cache.
    """
    engines.Buildah.tidy()
    _clean_docker()
    if mounts := remains.mounts_below(cache_dir()):
        raise ClusterError(f"still mounted, so the cache is left: {', '.join(map(str, mounts))}")
    for path in _parts():
        if path.is_dir() and not path.is_symlink():
            _delete(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        cache_dir().rmdir()
    if cache_dir().exists():
        others = ", ".join(sorted(path.name for path in cache_dir().iterdir()))
        say(f"what was made in {cache_dir()} is deleted; left in it: {others}")
    else:
        say(f"{cache_dir()} is deleted")
    say(
        "left, because others use it too: installed packages (containerd, runc, buildah, …),"
        " Docker's build cache (`docker builder prune`), Go's (`go clean -cache -modcache`)"
    )


def _clean_docker() -> None:
    if docker.unavailable() is not None:
        if docker.noted_images():
            say("no Docker engine answers: its images stay")
        return
    for image in docker.noted_images():
        if docker.has_image(image):
            removed = run(["docker", "image", "rm", "--force", image], check=False, timeout=300)
            if removed.returncode != 0:
                say(f"Docker keeps {image}: {removed.stderr.strip()}")
    # Docker refuses to delete the network while other clusters use it, as intended.
    with locked("docker-images"):
        if docker.noted_images() or (cache_dir() / "kind").exists():
            run(["docker", "network", "rm", _NETWORK], check=False)
        docker.forget_images()


def _parts() -> Sequence[Path]:
    trash = cache_dir().glob("cluster.*") if cache_dir().is_dir() else ()
    return [*(path for name in _PARTS if (path := cache_dir() / name).exists()), *trash]


def _delete(folder: Path) -> None:
    """Delete a folder, making it writable first, since Go makes module folders read-only.

    Raises:
        ClusterError: the folder can't be deleted.
    """
    for place, _, _ in os.walk(folder):
        # `down` may still be deleting the folder in the background.
        with contextlib.suppress(FileNotFoundError):
            Path(place).chmod(Path(place).stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise ClusterError(f"{folder} can't be deleted: whose is it?")
