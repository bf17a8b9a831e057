"""Where everything is kept: outside the checkout, because checkouts share the machine's ports."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.cluster.output import say


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of built programs, images and the running cluster."""
    if named := environ.get("CORE4_CACHE"):
        return Path(named).expanduser().resolve()
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "core4-kubernetes"


def folder(name: str) -> Path:
    """A sub-folder of the cache, made if need be."""
    path = cache_dir() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that all checkouts of this machine's user share.

    The lock dies with its holder, so a killed run leaves none behind.
    """
    with (folder("locks") / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process holds the lock {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(parts: Iterable[str | bytes]) -> str:
    """A short hash of texts, for names; the borders between the parts count."""
    result = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        result.update(f"{len(data)}:".encode())
        result.update(data)
    return result.hexdigest()[:16]


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """A short hash of files: their names below root, and what is in them."""
    parts: list[str | bytes] = []
    for path in sorted(set(paths)):
        parts += [path.relative_to(root).as_posix(), path.read_bytes()]
    return digest(parts)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file unless it says that already.

    kube-proxy ends when its configuration is written, were it with the same content.
    """
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=mode)
    new.write_text(content, encoding="utf-8")
    new.replace(path)
