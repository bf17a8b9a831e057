"""The project's image, and images for tests.

Image names contain a hash of the inputs, so that an unchanged tree is not built or loaded again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.cluster import wheels
from tests.cluster.cache import digest, digest_files, folder, locked
from tests.cluster.engines import Image, engine
from tests.cluster.output import say

# Number of archives of the same name to keep; older ones are deleted.
_KEPT = 3
_IGNORED = {"__pycache__", ".git", ".venv", "build", "node_modules"}


def project_image(root: Path) -> Image:
    """Build the image of this checkout if needed, and return it.

    It contains the service and is the base of jobs' images.
    """
    dockerfile = root / "Dockerfile"
    ignored = root / ".dockerignore"
    scripts = [path for path in (root / "image").iterdir() if path.is_file()]
    with locked("image"):
        # Hash the wheels instead of their sources, which may change during the build.
        files = [dockerfile, ignored, *scripts, *wheels.prepare(root)]
        image = _named("core4", digest([digest_files(root, files)]))
        if not image.archive.exists():
            _build(root, dockerfile, image, {"WHEELS": wheels.FOLDER})
    return image


def build_image(
    context: Path,
    *,
    name: str,
    dockerfile: Path | None = None,
    build_args: Mapping[str, str] | None = None,
    uses: Sequence[Image] = (),
) -> Image:
    """Build an image from any folder, for a test or an example.

    Args:
        context: the folder that the Dockerfile copies from.
        name: the image's name without a registry; the tag is a hash of the inputs.
        dockerfile: the Dockerfile; by default context/Dockerfile.
        build_args: build arguments.
        uses: our images that it is built from; the Dockerfile names them by an argument.

    Returns:
        The image, for a provider's `load(image.archive, image.reference)`.
    """
    dockerfile = dockerfile or context / "Dockerfile"
    arguments = dict(build_args or {})
    parts = [
        digest_files(context, _files(context)),
        dockerfile.read_text(encoding="utf-8"),
        *(f"{key}={value}" for key, value in sorted(arguments.items())),
        *(image.reference for image in uses),
    ]
    image = _named(name, digest(parts))
    with locked("image"):
        if not image.archive.exists():
            for used in uses:
                engine().provide(used)
            _build(context, dockerfile, image, arguments)
    return image


def _named(name: str, tag: str) -> Image:
    return Image(f"localhost/{name}:{tag}", folder("images") / f"{name}-{tag}.tar")


def _build(context: Path, dockerfile: Path, image: Image, arguments: Mapping[str, str]) -> None:
    # Rename the archive when it is complete, so that a partial one is never used.
    unfinished = image.archive.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    engine().build(context, dockerfile, Image(image.reference, unfinished), arguments)
    unfinished.rename(image.archive)
    stem = image.archive.name.rpartition("-")[0]
    others = set(image.archive.parent.glob(f"{stem}-{'?' * 16}.tar")) - {image.archive}
    # The new one is not compared: a coarse clock may give several archives the same time.
    for old in sorted(others, key=_modified, reverse=True)[_KEPT - 1 :]:
        old.unlink()
    say(f"built {image.reference}, {image.megabytes} MB")


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _files(context: Path) -> Iterator[Path]:
    for path in context.rglob("*"):
        if path.is_file() and not _IGNORED.intersection(path.relative_to(context).parts):
            yield path
