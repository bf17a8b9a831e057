"""The Go compiler: the machine's own if it is new enough, else one in a container."""

import functools
import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.cluster import docker
from tests.cluster.cache import cache_dir, folder
from tests.cluster.commands import run, run_visibly
from tests.cluster.errors import ClusterError

VERSION = (1, 26)
IMAGE = f"golang:{VERSION[0]}.{VERSION[1]}"
# The module whose `go` line gives the required version.
_MODULE = Path(__file__).parent / "hyperkube"

_PROXIES = ("ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_GO_SETTINGS = ("GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB")
_AUTHORITIES = ("GIT_SSL_CAINFO", "SSL_CERT_DIR", "SSL_CERT_FILE")
_HANDED_ON = (
    *_AUTHORITIES,
    *_GO_SETTINGS,
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
)
# Architectures for which Go and the kernel have different names.
_ARCHITECTURES = {"aarch64": "arm64", "armv7l": "arm", "i686": "386", "x86_64": "amd64"}


class Compiler(Protocol):
    """Builds programs for this machine, without cgo."""

    @property
    def version(self) -> str:
        """The version as Go prints it."""

    def build(self, task: str, arguments: Sequence[str], module: Path) -> None:
        """Run `go build` in a module's folder; outputs must be in the cache."""

    def install(self, task: str, arguments: Sequence[str], program: Path) -> None:
        """Run `go install`, and put the program at the path `program` in the cache."""


@functools.cache
def compiler() -> Compiler:
    """Return the compiler that works on this machine; its own is preferred, since it is faster.

    Raises:
        ClusterError: there is neither Go nor a Docker engine.
    """
    try:
        return _Own(_own_version())
    except ClusterError as error:
        lacking = docker.unavailable()
        if lacking is None:
            return _Contained.started()
        raise ClusterError(
            f"{error} Or install Docker, whose engine then does it in a container: {lacking}."
        ) from error


def _own_version() -> str:
    advice = f"Install Go {VERSION[0]}.{VERSION[1]} or later"
    if shutil.which("go") is None:
        raise ClusterError(f"go is missing: it builds the cluster's programs. {advice}.")
    try:
        answer = run(["go", "env", "GOVERSION"], cwd=_MODULE, env=_own_environment())
    except ClusterError as error:
        # An older Go tries to download a newer one, which may fail.
        raise ClusterError(f"go does not work here: {error}\n{advice}.") from error
    version = answer.stdout.strip()
    # Also of a pre-release (go1.27rc1) or a compiler built from its sources (devel go1.27-0a1b2c3).
    numbers = re.search(r"\bgo(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < VERSION:
        raise ClusterError(f"{version} is too old. {advice}, or set GOTOOLCHAIN=auto.")
    return version


def _own_environment(**extra: str) -> dict[str, str]:
    """Return variables that make Go build for this machine, whatever the environment sets."""
    cleared = {name: "" for name in ("GOOS", "GOARCH", "GOFLAGS") if name in os.environ}
    return {**cleared, "CGO_ENABLED": "0", **extra}


@dataclass(frozen=True, slots=True)
class _Own:
    version: str

    def build(self, task: str, arguments: Sequence[str], module: Path) -> None:
        run_visibly(task, ["go", "build", *arguments], cwd=module, env=_own_environment())

    def install(self, task: str, arguments: Sequence[str], program: Path) -> None:
        environment = _own_environment(GOBIN=str(program.parent))
        run_visibly(task, ["go", "install", *arguments], env=environment)


@dataclass(frozen=True, slots=True)
class _Contained:
    """Go in a temporary container, in which the cache has the same path as outside."""

    version: str

    @classmethod
    def started(cls) -> "_Contained":
        """Pull the image if needed, and return a compiler with its version."""
        if not docker.has_image(IMAGE):
            run_visibly(f"fetching {IMAGE}, which has Go", ["docker", "pull", IMAGE])
            docker.note_image(IMAGE)
        return cls(run(_contained(["env", "GOVERSION"], _MODULE)).stdout.strip())

    def build(self, task: str, arguments: Sequence[str], module: Path) -> None:
        run_visibly(task, _contained(["build", *arguments], module))

    def install(self, task: str, arguments: Sequence[str], program: Path) -> None:
        run_visibly(task, _contained(["install", *arguments], _MODULE))
        # With GOBIN Go would refuse to cross-compile, as in Docker on a Mac; without it,
        # cross-compiled programs are in a sub-folder.
        built = next((folder("go") / "bin").rglob(program.name), None)
        if built is None:
            raise ClusterError(f"the container built no {program.name}")
        built.replace(program)


def _contained(arguments: Sequence[str], module: Path) -> list[str]:
    """Return the command that runs Go in a container as this user, with its folders mounted."""
    home = folder("go")
    machine = platform.machine().lower()
    settings = {
        "CGO_ENABLED": "0",
        "GOARCH": _ARCHITECTURES.get(machine, machine),
        "GOCACHE": f"{home}/build",
        # Without this flag the modules are read-only, even for their owner.
        "GOFLAGS": "-modcacherw",
        "GOOS": platform.system().lower(),
        "GOPATH": str(home),
        # A module may need a later patch version than that of an image pulled long ago.
        "GOTOOLCHAIN": "auto",
        "HOME": str(home),
    }
    options = [f"--env={name}={value}" for name, value in settings.items()]
    # Pass only the names, since the URL of a proxy may contain a password.
    options += [f"--env={name}" for name in _HANDED_ON if os.environ.get(name)]
    options += [_mount(cache_dir()), _mount(module, readonly=True)]
    options += [_mount(path, readonly=True) for path in _authorities()]
    # A proxy may listen on the host's loopback interface.
    options += ["--network=host"]
    # Otherwise SELinux denies access to the mounts, unless they are labelled.
    options += ["--security-opt=label=disable"]
    options += [f"--user={docker.user()}", f"--workdir={module}"]
    return ["docker", "run", "--rm", "--init", *options, IMAGE, "go", *arguments]


def _mount(path: Path, *, readonly: bool = False) -> str:
    # Docker Desktop shares folders by their real paths.
    mount = f"--mount=type=bind,source={path.resolve()},target={path}"
    return f"{mount},readonly" if readonly else mount


def _authorities() -> Iterator[Path]:
    """Yield the files and folders of certificates that the environment names."""
    named = [part for name in _AUTHORITIES for part in os.environ.get(name, "").split(":")]
    for path in map(Path, sorted(set(named) - {""})):
        if path.is_absolute() and path.exists():
            yield path
