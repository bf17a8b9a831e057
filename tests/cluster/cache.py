"""The cache of programs, images and clusters.

It is outside the checkout, because all checkouts share the machine's ports and thus the cluster.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.output import say


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of built programs, images and the running cluster.

    Raises:
        ClusterError: the user has no home folder, and no variable names another.
    """
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    named = environ.get("CORE4_CACHE") or f"{base}/core4-kubernetes"
    try:
        return Path(named).expanduser().resolve()
    except RuntimeError as error:
        raise ClusterError(f"{error} Name a folder for the cache in CORE4_CACHE.") from error


def folder(name: str) -> Path:
    """Return a sub-folder of the cache, created if needed."""
    path = cache_dir() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a file lock that all checkouts of this machine's user share.

    The lock ends with its process, so a killed run leaves no lock behind.
    """
    with (folder("locks") / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process holds the lock {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(parts: Iterable[str | bytes]) -> str:
    """Return a short hash of texts, for names; it depends on the boundaries of the parts."""
    result = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        result.update(f"{len(data)}:".encode())
        result.update(data)
    return result.hexdigest()[:16]


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """Return a short hash of files: their paths relative to root, and their contents."""
    parts: list[str | bytes] = []
    for path in sorted(set(paths)):
        parts += [path.relative_to(root).as_posix(), path.read_bytes()]
    return digest(parts)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file unless it has that content already.

    kube-proxy exits when its configuration is written, even with the same content.
    """
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=mode)
    new.write_text(content, encoding="utf-8")
    new.replace(path)
