"""Programs of the operating system: check for them, and install them where possible."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.cluster.cache import locked
from tests.cluster.commands import environment, run, run_visibly
from tests.cluster.errors import ClusterError
from tests.cluster.output import say

# Folders of the CNI plug-ins in several distributions.
_CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")

_POSTGRES = Path("/usr/lib/postgresql")
POSTGRES_VERSION = 15

# Debian package by program.
PACKAGES = {
    "buildah": "buildah",
    "cni": "containernetworking-plugins",
    "containerd": "containerd",
    "ctr": "containerd",
    "gpg": "gpg",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "postgres": "postgresql",
    "runc": "runc",
    "umount": "mount",
}


def cni_folder() -> Path | None:
    """Return the folder of the CNI plug-ins, or None."""
    candidates = (Path(name) for name in _CNI_FOLDERS)
    return next((path for path in candidates if (path / "bridge").exists()), None)


def postgres_folder(debian: Path = _POSTGRES) -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs, or None.

    Debian does not have it in PATH.
    """
    folders = {int(path.parts[-3]): path.parent for path in debian.glob("[0-9][0-9]/bin/initdb")}
    if folders and max(folders) >= POSTGRES_VERSION:
        return folders[max(folders)]
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


# Programs that are found elsewhere than in PATH.
_FINDERS: dict[str, Callable[[], Path | None]] = {"cni": cni_folder, "postgres": postgres_folder}


def missing(programs: Iterable[str]) -> list[str]:
    """Return the programs that are not installed."""
    path = environment()["PATH"]

    def is_there(name: str) -> bool:
        finder = _FINDERS.get(name)
        return (finder() if finder else shutil.which(name, path=path)) is not None

    return [name for name in programs if not is_there(name)]


def ensure(programs: Iterable[str]) -> None:
    """Install missing programs with apt-get.

    Raises:
        ClusterError: a program is missing and can't be installed; the message says what to do.
    """
    wanted = list(programs)
    lacking = missing(wanted)
    if not lacking:
        return
    names = sorted({PACKAGES[name] for name in lacking})
    how = f"apt-get install {' '.join(names)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(
            f"missing: {', '.join(lacking)}. Install (names of Debian's packages): {how}"
        )
    # Lock, since workers of a test run may install at the same time and apt-get does not wait.
    with locked("packages"):
        if missing(wanted):
            _install(names)
    if still := missing(wanted):
        raise ClusterError(f"{how} did not bring: {', '.join(still)}")


def _install(names: Sequence[str]) -> None:
    say(f"installing packages: {' '.join(names)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    # Wait for the lock of dpkg, since a fresh machine may run unattended upgrades.
    patience = ["-o", "DPkg::Lock::Timeout=300"]
    install = ["apt-get", "install", "-y", "--no-install-recommends", *patience, *names]
    if run([*install[:2], "--dry-run", *names], check=False, env=quiet).returncode != 0:
        run_visibly("apt-get update", ["apt-get", "update"], env=quiet)
    try:
        run_visibly("apt-get install", install, env=quiet)
    except ClusterError:
        # Outdated package lists may name versions that the mirror no longer has.
        run_visibly("apt-get update", ["apt-get", "update"], env=quiet)
        run_visibly("apt-get install", install, env=quiet)
