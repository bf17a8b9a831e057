"""The runtime's wheel: small, without dependencies, and enough for a job's image."""

import os
import subprocess
import sys
import zipfile

import pytest
import yaml
from tests.cluster.deploy import ROOT

from core4 import __version__

JOBS = ROOT / "examples" / "python-jobs"


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=100)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, ROOT / "runtime")
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="module")
def core4(wheel, tmp_path_factory):
    """Run the command `core4` of an environment that has the wheel and nothing else."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=100)
    pip("--python", home / "bin" / "python", "install", "--no-index", wheel)

    def run(*arguments):
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [home / "bin" / "core4", *arguments],
            check=False,
            capture_output=True,
            cwd=JOBS,
            env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
            text=True,
            timeout=240,
        )

    return run


def test_the_wheel_holds_the_runtime_only(wheel):
    assert wheel.name == f"core4_runtime-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        description = archive.read(metadata).decode()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"core4", f"core4_runtime-{__version__}.dist-info"}
    assert "core4/py.typed" in names
    required = [line for line in description.splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in required if "extra ==" not in line] == []
    assert wheel.stat().st_size < 200_000


def test_an_environment_with_nothing_else_runs_jobs(core4):
    assert core4("--version").stdout == f"core4 {__version__}\n"
    done = core4("execute", "shop.sales.DailySales", "shops=2", "pause=0")
    assert done.returncode == 0, done.stderr
    assert "2 shops sold for" in done.stdout + done.stderr


def test_an_environment_with_nothing_else_lists_jobs(core4):
    done = core4("templates", "shop", "--image", "registry.example.com/shop:1")
    assert done.returncode == 0, done.stderr
    names = [manifest["spec"]["qualName"] for manifest in yaml.safe_load_all(done.stdout)]
    assert sorted(names) == ["shop.orders.ImportOrders", "shop.sales.DailySales"]
