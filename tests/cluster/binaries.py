"""Go programs, built once from pinned modules and cached by a hash of all their inputs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.cache import cache_dir, digest, folder, locked
from tests.cluster.golang import compiler

HYPERKUBE = Path(__file__).parent / "hyperkube"
PAUSE = Path(__file__).parent / "pause"
PODLOGS = Path(__file__).parent / "podlogs"
KUBERNETES = "v1.37.2"

# Without a version, helm and kubectl refuse to talk to the API server.
_VERSIONS = ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion")
_LDFLAGS = " ".join(["-s -w", *(f"-X {name}={KUBERNETES}" for name in _VERSIONS)])
# Suffix of a folder in which a program is being built.
_UNFINISHED = ".tmp"
_FLAGS = ("-trimpath", "-buildvcs=false", "-v")

# The programs inside hyperkube, for each of which there is a link to it.
COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
INSTALLED = {
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.1",
    "kind": "sigs.k8s.io/kind@v0.33.0",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok@v0.8.0",
}


def hyperkube() -> Path:
    """Build the Kubernetes programs of the local cluster if needed, and return their folder."""
    sources = [(HYPERKUBE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")]
    return _built("hyperkube", sources, ["-ldflags", _LDFLAGS, "."], HYPERKUBE, COMPONENTS)


def kubectl() -> Path:
    """Build only kubectl if needed, on any system, for clusters with their own programs."""
    sources = [(HYPERKUBE / name).read_bytes() for name in ("go.mod", "go.sum")]
    flags = ["-ldflags", _LDFLAGS, "k8s.io/kubernetes/cmd/kubectl"]
    return _built("kubectl", sources, flags, HYPERKUBE) / "kubectl"


def built(name: str) -> Path | None:
    """Return a program that was built here, in the latest version; None if there is none.

    This builds nothing and needs no compiler.
    """
    paths = (cache_dir() / "bin").glob(f"*/{name}")
    whole = [path for path in paths if path.is_file() and path.parent.suffix != _UNFINISHED]
    return max(whole, key=lambda path: path.lstat().st_mtime, default=None)


def pause() -> Path:
    """Build the program of the pods' sandbox container if needed, and return its path."""
    return _small("pause", PAUSE)


def podlogs() -> Path:
    """Build the server of simulated pods' logs if needed, and return its path."""
    return _small("podlogs", PODLOGS)


def of_module(module: Path, package: str) -> Path:
    """Build a program of a package that a module of ours requires, and return its path."""
    name = package.rpartition("/")[2]
    sources = [(module / file).read_bytes() for file in ("go.mod", "go.sum")]
    return _built(name, sources, ["-ldflags", "-s -w", package], module) / name


def installed(name: str) -> Path:
    """Install a program of another project in the version of `INSTALLED`, and return its path."""
    module = INSTALLED[name]
    target = _target(name, [module])
    with locked(f"build-{name}"):
        if not (target / name).exists():
            work = _fresh(target)
            arguments = [*_FLAGS, "-ldflags", "-s -w", module]
            compiler().install(f"building {module}", arguments, work / name)
            _publish(work, target)
    return target / name


def _small(name: str, module: Path) -> Path:
    """Build a program of one file that uses the standard library only."""
    sources = [(module / name).read_bytes() for name in ("go.mod", "main.go")]
    return _built(name, sources, ["-ldflags", "-s -w", "."], module) / name


def _built(
    name: str,
    sources: Sequence[bytes],
    arguments: Sequence[str],
    module: Path,
    links: Sequence[str] = (),
) -> Path:
    target = _target(name, [*sources, *arguments])
    with locked(f"build-{name}"):
        if not (target / name).exists():
            work = _fresh(target)
            flags = [*_FLAGS, "-o", str(work / name), *arguments]
            compiler().build(f"building {name}", flags, module)
            for link in links:
                (work / link).symlink_to(name)
            _publish(work, target)
    return target


def _target(name: str, parts: Sequence[str | bytes]) -> Path:
    return folder("bin") / f"{name}-{digest([*parts, *_FLAGS, compiler().version])}"


def _fresh(target: Path) -> Path:
    """Return an empty sibling folder to build in, so that a partial build is never used."""
    work = target.with_suffix(_UNFINISHED)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work


def _publish(work: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)
