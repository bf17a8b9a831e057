"""Images of programs that are not the service's: what users bring."""

import tempfile
from pathlib import Path

from tests.cluster import cache, image_archive
from tests.cluster.engines import Image
from tests.cluster.golang import compiler
from tests.cluster.image import build_image
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider


def go_program(provider: Provider, source: Path, name: str) -> Image:
    """The image of a Go program, known to the cluster.

    The local cluster needs the Go compiler anyway, and no container engine: there the program is
    built as the cluster's own are. Elsewhere its Dockerfile is.

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
    # In the cache: that is what a compiler in a container sees.
    with tempfile.TemporaryDirectory(dir=cache.folder("images")) as work:
        program = Path(work) / name
        # Without C the program is static, and so needs nothing else in its image.
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(program), "."]
        compiler().build(f"building {name}", flags, source)
        tag = cache.digest([program.read_bytes()])
        image = Image(f"localhost/{name}:{tag}", cache.folder("images") / f"{name}-{tag}.tar")
        if not image.archive.exists():
            image_archive.write_image(image.archive, program=program, reference=image.reference)
    return image
