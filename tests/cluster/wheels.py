"""The wheels of the image.

The image can make them itself, from a package index. They are downloaded and built on the host so
that its build needs no network and takes seconds.
"""

import platform
import shutil
import sys
import tomllib
from pathlib import Path

from tests.cluster.cache import digest, digest_files, folder, locked
from tests.cluster.commands import run, run_visibly

PYTHON = "3.11"
# In the checkout; the Dockerfile takes them from there.
FOLDER = "build/wheels"
# The distributions of this checkout: the service, and the runtime of jobs.
PROJECTS = (".", "runtime")
# Debian 12, the older of the base images, has glibc 2.36.
_GLIBC = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
_LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")
_MACHINES = {"arm64": "aarch64", "AMD64": "x86_64"}


def source_digest(root: Path) -> str:
    """Return a hash of the inputs of the wheels of this checkout."""
    files = [path for name in PROJECTS for path in _inputs(root / name)]
    return digest_files(root, [path for path in files if "__pycache__" not in path.parts])


def _inputs(project: Path) -> list[Path]:
    document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    files = [project / "pyproject.toml", project / document["project"]["readme"]]
    for name in document["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        files += [path for path in (project / name).rglob("*") if path.is_file()]
    return files


def prepare(root: Path) -> list[Path]:
    """Fill the folders of wheels, `deps` and `own`, and return the wheels' paths."""
    target = root / FOLDER
    requirements = (root / "requirements-image.lock").read_text(encoding="utf-8")
    _mirror(_downloaded(requirements), target / "deps")
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
    # First of all, since an interrupted build may leave one of the wheels.
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    argv += ["--wheel-dir", str(target), *(str(root / name) for name in PROJECTS)]
    run(argv, timeout=300)
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
            # Under another name first, so that an interrupted copy is never used.
            new = target / f"{name}.new"
            shutil.copy2(source / name, new)
            new.rename(target / name)
