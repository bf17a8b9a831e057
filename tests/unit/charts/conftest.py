"""The program helm: CORE4_HELM, or the one that `make test` builds."""

import os
from pathlib import Path

import pytest
from tests.cluster import binaries
from tests.unit.charts.helm import Helm


@pytest.fixture(scope="session")
def program() -> Path:
    path = os.environ.get("CORE4_HELM")
    return Path(path) if path else binaries.installed("helm")


@pytest.fixture
def helm(program: Path, tmp_path: Path) -> Helm:
    return Helm(program, tmp_path)
