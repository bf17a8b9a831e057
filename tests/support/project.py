"""Image and templates of a user's Python project."""

import sys
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.deploy import ROOT
from tests.cluster.engines import Image
from tests.cluster.image import build_image, project_image
from tests.cluster.provider import Provider


def build(provider: Provider, service_image: str, folder: Path, name: str) -> str:
    """Build a project's image on the service's, load it into the cluster, and return its name.

    Args:
        provider: the cluster.
        service_image: the image that the service runs.
        folder: the project, with a Dockerfile that begins from the argument CORE4_IMAGE.
        name: name of the image.
    """
    base = project_image(ROOT)
    # Any other image (CORE4_IMAGE) is in a registry, from which the engine pulls it.
    uses: tuple[Image, ...] = (base,) if base.reference == service_image else ()
    arguments = {"CORE4_IMAGE": service_image}
    image = build_image(folder, name=name, build_args=arguments, uses=uses)
    provider.load(image.archive, image.reference)
    return image.reference


def templates(folder: Path, package: str, image: str) -> str:
    """Return the manifests of a package's jobs, made as its README describes."""
    argv = [sys.executable, "-m", "core4", "templates", package, "--image", image]
    return run(argv, cwd=folder).stdout
