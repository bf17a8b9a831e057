"""The image of a user's project in Python, and the templates that `core4 templates` prints."""

import sys
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.deploy import ROOT
from tests.cluster.engines import Image
from tests.cluster.image import build_image, project_image
from tests.cluster.provider import Provider


def build(provider: Provider, service_image: str, folder: Path, name: str) -> str:
    """The name of a project's image, built from the service's own and known to the cluster.

    Args:
        provider: the cluster.
        service_image: the image that the service runs.
        folder: the project, with a Dockerfile that begins from the argument CORE4_IMAGE.
        name: of the image.
    """
    base = project_image(ROOT)
    # Another one (CORE4_IMAGE) is in a registry, and the engine pulls it.
    uses: tuple[Image, ...] = (base,) if base.reference == service_image else ()
    arguments = {"CORE4_IMAGE": service_image}
    image = build_image(folder, name=name, build_args=arguments, uses=uses)
    provider.load(image.archive, image.reference)
    return image.reference


def templates(folder: Path, package: str, image: str) -> str:
    """The manifests of a package's jobs, as its README has it."""
    argv = [sys.executable, "-m", "core4", "templates", package, "--image", image]
    return run(argv, cwd=folder).stdout
