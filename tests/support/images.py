"""Images of programs that are not the service's: what users bring."""

import tempfile
from pathlib import Path

from tests.cluster import cache, image_archive
from tests.cluster.commands import run
from tests.cluster.engines import Image
from tests.cluster.image import build_image
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider


def go_program(provider: Provider, source: Path, name: str) -> Image:
    """The image of a Go program, known to the cluster.

    The local cluster needs the Go compiler anyway, and no container engine: there the program is
    built here. Elsewhere its Dockerfile is.

    Args:
        provider: the cluster.
        source: the folder of its module, with a Dockerfile.
        name: of the program and of the image.
    """
    if provider.name == LocalCluster.name:
        image = _compiled(source, name)
    else:
        image = build_image(source, name=name)
    provider.load(image.archive, image.reference)
    return image


def _compiled(source: Path, name: str) -> Image:
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / name
        argv = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
        # Without C the program is static, and so needs nothing else in its image.
        static = {"CGO_ENABLED": "0"}
        run([*argv, "-o", str(program), "."], cwd=source, env=static, timeout=300)
        tag = cache.digest([program.read_bytes()])
        image = Image(f"localhost/{name}:{tag}", cache.folder("images") / f"{name}-{tag}.tar")
        if not image.archive.exists():
            image_archive.write_image(image.archive, program=program, reference=image.reference)
    return image
