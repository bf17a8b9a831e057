"""Images of users' programs, which are not the service's."""

import tempfile
from pathlib import Path

from tests.cluster import cache, image_archive
from tests.cluster.engines import Image
from tests.cluster.golang import compiler
from tests.cluster.image import build_image
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider


def go_program(provider: Provider, source: Path, name: str) -> Image:
    """Build the image of a Go program, load it into the cluster, and return it.

    The local cluster has the Go compiler and needs no container engine, so the program is compiled
    there. For other clusters its Dockerfile is built.

    Args:
        provider: the cluster.
        source: the folder of the Go module, with a Dockerfile.
        name: name of the program and of the image.
    """
    if provider.name == LocalCluster.name:
        image = _compiled(source, name)
    else:
        image = build_image(source, name=name)
    provider.load(image.archive, image.reference)
    return image


def _compiled(source: Path, name: str) -> Image:
    # Compile in the cache folder, which a compiler in a container can see.
    with tempfile.TemporaryDirectory(dir=cache.folder("images")) as work:
        program = Path(work) / name
        # Without cgo the program is static, so its image needs no other files.
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(program), "."]
        compiler().build(f"building {name}", flags, source)
        tag = cache.digest([program.read_bytes()])
        image = Image(f"localhost/{name}:{tag}", cache.folder("images") / f"{name}-{tag}.tar")
        if not image.archive.exists():
            image_archive.write_image(image.archive, program=program, reference=image.reference)
    return image
