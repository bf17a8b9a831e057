"""Build container images with a Docker engine, or with buildah if there is none."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.cluster import docker, packages, remains
from tests.cluster.cache import cache_dir, digest, folder, locked
from tests.cluster.commands import run, run_visibly

SUITE = "bookworm"
# The Dockerfile's arguments for base images, and the Debian packages of the images that replace
# the official ones. usr-is-merged is there in the place of usrmerge, which needs all of Perl.
BASES = {
    "BASE_IMAGE": "python3,ca-certificates,usr-is-merged",
    "BUILD_IMAGE": "python3-venv,python3-pip,binutils,ca-certificates,usr-is-merged",
}
_MERGED = Path("/usr/share/mmdebstrap/hooks/merged-usr")
# Make Debian's Python like the official Python image: `python` exists, and pip may install.
_HOOK = 'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED; ln -sf python3 "$1"/usr/bin/python'
_UNREAD = ("doc", "info", "locale", "man")


@dataclass(frozen=True, slots=True)
class Image:
    """A built image and its archive."""

    reference: str
    archive: Path

    @property
    def megabytes(self) -> int:
        """Size of the archive, which is not compressed."""
        return round(self.archive.stat().st_size / 1e6)


class Engine(Protocol):
    """Builds images from Dockerfiles."""

    def build(
        self, context: Path, dockerfile: Path, image: Image, arguments: Mapping[str, str]
    ) -> None:
        """Build the image and write its archive (a docker archive)."""

    def provide(self, image: Image) -> None:
        """Load an image, unless the engine has it, so that another can be built from it."""


def engine() -> Engine:
    """Return the engine that works on this machine."""
    return Docker() if docker.unavailable() is None else Buildah()


class Docker:
    """The Docker engine."""

    def build(
        self, context: Path, dockerfile: Path, image: Image, arguments: Mapping[str, str]
    ) -> None:
        """Build the image and save its archive."""
        argv = ["docker", "build", "--file", str(dockerfile), "--tag", image.reference]
        run_visibly(f"building {image.reference}", [*argv, *_given(arguments), str(context)])
        docker.note_image(image.reference)
        run(["docker", "save", "--output", image.archive, image.reference], timeout=600)

    def provide(self, image: Image) -> None:
        """Load the image, unless the engine has it."""
        if not docker.has_image(image.reference):
            docker.note_image(image.reference)
            run(["docker", "load", "--input", image.archive], timeout=600)


class Buildah:
    """buildah, with its own storage in the cache and a base image made of Debian packages."""

    def __init__(self) -> None:
        store = folder("containers")
        where = ["--root", str(store / "root"), "--runroot", str(store / "run")]
        self._command = ["buildah", *where, "--storage-driver", "overlay"]

    def build(
        self, context: Path, dockerfile: Path, image: Image, arguments: Mapping[str, str]
    ) -> None:
        """Build the image and save its archive, with our base images instead of official ones."""
        packages.ensure(["buildah", "mmdebstrap", "gpg"])
        bases = {name: self._base(included) for name, included in BASES.items()}
        self._bud(context, dockerfile, image.reference, {**bases, **arguments})
        # Delete the old archive, since buildah refuses to write into an existing one.
        image.archive.unlink(missing_ok=True)
        target = f"docker-archive:{image.archive}:{image.reference}"
        run([*self._command, "push", "--quiet", image.reference, target], timeout=600)

    @classmethod
    def tidy(cls) -> None:
        """Delete the containers and mounts that a killed build has left."""
        store = cache_dir() / "containers"
        if not store.exists():
            return
        with locked("image"):
            if not packages.missing(["buildah"]):
                run([*cls()._command, "rm", "--all"], check=False)
            remains.unmount(store)

    def provide(self, image: Image) -> None:
        """Pull the image from its archive, unless the storage has it."""
        if not self._knows(image.reference):
            run([*self._command, "pull", f"docker-archive:{image.archive}"], timeout=600)

    def _knows(self, reference: str) -> bool:
        argv = [*self._command, "images", "--quiet", reference]
        return run(argv, check=False).returncode == 0

    def _base(self, included: str) -> str:
        """Return the name of an image of Debian packages; make it unless the storage has it."""
        exclude = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNREAD]
        options = ["--variant=minbase", f"--include={included}", *exclude]
        options += [f"--hook-dir={_MERGED}"] if _MERGED.is_dir() else []
        options.append(f"--customize-hook={_HOOK}")
        reference = f"localhost/core4-base:{SUITE}-{digest(options)}"
        if self._knows(reference):
            return reference
        tarball = folder("images") / f"base-{digest(options)}.tar"
        if not tarball.exists():
            new = tarball.with_suffix(".new.tar")
            run_visibly("making a base image", ["mmdebstrap", *options, SUITE, new])
            new.rename(tarball)
        with tempfile.TemporaryDirectory(dir=folder("images")) as work:
            context = Path(work)
            (context / "base.tar").hardlink_to(tarball)
            dockerfile = context / "Dockerfile"
            dockerfile.write_text('FROM scratch\nADD base.tar /\nCMD ["python3"]\n')
            self._bud(context, dockerfile, reference, {})
        return reference

    def _bud(
        self, context: Path, dockerfile: Path, reference: str, arguments: Mapping[str, str]
    ) -> None:
        argv = [*self._command, "bud", "--isolation", "chroot", "--layers", "--force-rm"]
        argv.append("--pull-never")
        argv += ["--file", str(dockerfile), *_given(arguments), "--tag", reference]
        run_visibly(f"building {reference}", [*argv, str(context)])


def _given(arguments: Mapping[str, str]) -> list[str]:
    pairs = sorted(arguments.items())
    return [word for name, value in pairs for word in ("--build-arg", f"{name}={value}")]
