"""The wheels of the image.

They are downloaded and built on the host, so that the image's build needs no network and is the
same everywhere.
"""

import importlib.metadata
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.cluster.cache import digest, digest_files, folder, locked
from tests.cluster.commands import run, run_visibly
from tests.cluster.errors import ClusterError

PYTHON = "3.11"
PROJECT = "core4"
EXTRA = "all"
# Debian 12, the older of the base images, has glibc 2.36.
_GLIBC = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
_LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")
_MACHINES = {"arm64": "aarch64", "AMD64": "x86_64"}


def locked_requirements(lock: str) -> dict[str, str]:
    """Return the lock file's entries with their hashes, by canonical name."""
    entries = re.findall(r"^[A-Za-z0-9][^\n]*(?:\n[ \t]+[^\n]+)*", lock, re.MULTILINE)
    return {canonical(re.split(r"[=\[;\s]", entry, maxsplit=1)[0]): entry for entry in entries}


def canonical(name: str) -> str:
    """Return a distribution's name in normalised form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def image_requirements(root: Path) -> str:
    """Return the part of the lock file that the project's extra needs, including hashes."""
    entries = locked_requirements((root / "requirements.lock").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = _closure(project, set(entries))
    return "".join(f"{entries[name]}\n" for name in sorted(needed))


def source_digest(root: Path) -> str:
    """Return a hash of the inputs of the project's own wheel."""
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packages = document["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = [root / "pyproject.toml", root / document["project"]["readme"]]
    for name in packages:
        files += [path for path in (root / name).rglob("*") if path.is_file()]
    return digest_files(root, [path for path in files if "__pycache__" not in path.parts])


def prepare(root: Path) -> list[Path]:
    """Fill build/wheels/deps and build/wheels/own, and return the wheels' paths."""
    target = root / "build" / "wheels"
    _mirror(_downloaded(image_requirements(root)), target / "deps")
    _build_own(root, target / "own")
    return sorted(target.glob("*/*.whl"))


def platforms() -> list[str]:
    """Return the platform tags of wheels that run in the image."""
    machine = _MACHINES.get(platform.machine(), platform.machine())
    names = [f"manylinux_{version}" for version in _GLIBC]
    names += _LEGACY if machine == "x86_64" else _LEGACY[:1]
    return [f"{name}_{machine}" for name in names]


def _downloaded(requirements: str) -> Path:
    target = folder("wheels") / digest([requirements, PYTHON, *platforms()])
    with locked("wheels"):
        if not target.exists():
            work = target.with_suffix(".tmp")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            listed = work / "requirements.txt"
            listed.write_text(requirements, encoding="utf-8")
            where = [word for name in platforms() for word in ("--platform", name)]
            abis = [word for name in ("cp311", "abi3", "none") for word in ("--abi", name)]
            argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
            argv += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
            argv += [*abis, *where, "--dest", str(work), "--requirement", str(listed)]
            run_visibly("downloading wheels", argv)
            listed.unlink()
            work.rename(target)
    return target


def _build_own(root: Path, target: Path) -> None:
    stamp, wanted = target.with_name("own.digest"), source_digest(root)
    if stamp.exists() and stamp.read_text() == wanted and list(target.glob("*.whl")):
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(target)]
    run([*argv, str(root)], timeout=300)
    stamp.write_text(wanted)


def _mirror(source: Path, target: Path) -> None:
    """Make `target` contain the same files as `source`."""
    names = {path.name for path in source.iterdir()}
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.name not in names:
            path.unlink()
    for name in names:
        if not (target / name).exists():
            shutil.copy2(source / name, target / name)


def _closure(project: dict[str, Any], known: set[str]) -> set[str]:
    """Return the names of all distributions that the project's extra needs, also indirectly."""
    own = {"": project.get("dependencies", []), **project["optional-dependencies"]}
    queue, seen = [(PROJECT, EXTRA)], {(PROJECT, EXTRA)}
    while queue:
        name, extra = queue.pop()
        texts = own[extra] if name == PROJECT else _requires(name)
        for pair in _needed(texts, extra):
            if pair not in seen and (pair[0] in known or pair[0] == PROJECT):
                seen.add(pair)
                queue.append(pair)
    return {name for name, _ in seen} - {PROJECT}


def _requires(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _needed(texts: Iterable[str], extra: str) -> Iterator[tuple[str, str]]:
    """Yield the (distribution, extra) pairs that requirements need on the image's platform."""
    try:
        from packaging.requirements import Requirement
    except ImportError as error:
        raise ClusterError("the locked packages are missing: run `make venv`") from error
    target = {
        "extra": extra,
        "platform_system": "Linux",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }
    for text in texts:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(target):
            for wanted in ("", *requirement.extras):
                yield canonical(requirement.name), wanted
