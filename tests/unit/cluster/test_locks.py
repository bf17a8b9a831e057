"""The lock files: those of the image are subsets of the one that the tests run with."""

import re
import tomllib

import pytest
from tests.cluster.deploy import ROOT


def document(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def entries(name):
    """Return each package of a lock file with its version and hashes, without its marker."""
    text = (ROOT / name).read_text(encoding="utf-8")
    matches = re.findall(r"^(\S+==\S+)[^\\\n]*((?:\\\n +--hash=\S+ ?)+)", text, re.MULTILINE)
    return {pin: set(re.findall(r"--hash=(\S+)", hashes)) for pin, hashes in matches}


@pytest.mark.parametrize("name", ["requirements-image.lock", "requirements-build.lock"])
def test_a_part_has_the_versions_and_hashes_of_the_whole(name):
    part, whole = entries(name), entries("requirements.lock")
    assert part
    assert part.items() <= whole.items()


def test_the_image_has_no_tools():
    packages = {pin.split("==")[0] for pin in entries("requirements-image.lock")}
    assert {"kopf", "falcon", "sqlalchemy"} <= packages
    assert not {"hatchling", "pytest", "mypy", "setuptools", "pip"} & packages


def test_the_build_is_locked():
    tools = document(ROOT)["dependency-groups"]["build"]
    for folder in (ROOT, ROOT / "runtime"):
        assert document(folder)["build-system"]["requires"] == tools
