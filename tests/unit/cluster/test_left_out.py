"""Tests that a cluster can't run are deselected, and the run reports them."""

import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cluster import binaries, docker, existing, kind
from tests.cluster.deploy import ROOT
from tests.support import hostprocess

CONFTEST = """\
from tests.support.left_out import leave_out

def pytest_collection_modifyitems(config, items):
    leave_out(config, items, marker="host", because="no such host")
"""
TESTS = """\
import pytest

@pytest.mark.host
@pytest.mark.parametrize("number", [1, 2])
def test_left_out(number):
    raise AssertionError

def test_an_unmarked_test_runs():
    pass
"""


@pytest.mark.parametrize("processes", [[], ["--numprocesses=1"]])
def test_a_run_says_what_was_left_out_and_why(tmp_path, processes):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = host\npythonpath = {ROOT}\n")
    argv = ["-m", "pytest", "-p", "tests.support.left_out", "-p", "no:cacheprovider", *processes]
    done = subprocess.run(
        [sys.executable, *argv, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("left out: 2 marked host: no such host\n") == 1
    assert "1 passed" in done.stdout


@dataclass
class FakeProvider:
    lacking: str | None = None

    def distant(self):
        return self.lacking


def test_processes_of_pods_are_signalled_by_root_where_they_run(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    near: Any = FakeProvider()
    far: Any = FakeProvider("far away")
    assert hostprocess.unreachable(near) is None
    assert hostprocess.unreachable(far) == "far away"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "root" in (hostprocess.unreachable(near) or "")


def test_an_engine_on_another_machine_is_not_here(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "laptop")
    for name, here in (("laptop", True), ("docker-desktop", False), ("", False)):
        monkeypatch.setattr(docker, "_told", {"{{.Name}}": name}.get)
        assert docker.is_here() is here
        assert (kind.KindProvider().distant() is None) is here


@pytest.mark.parametrize(
    ("code", "names", "words"),
    [
        (0, "laptop", None),
        (0, "laptop other", "pods may be on other"),
        (1, "", "can't be listed"),
    ],
)
def test_pods_of_a_named_cluster_are_here_if_it_has_no_other_node(
    monkeypatch, tmp_path, code, names, words
):
    monkeypatch.setenv(existing.VARIABLE, str(tmp_path / "config"))
    monkeypatch.setattr("platform.node", lambda: "laptop")
    monkeypatch.setattr(binaries, "kubectl", lambda: "kubectl")
    answer = SimpleNamespace(returncode=code, stdout=names)
    monkeypatch.setattr(existing, "run", lambda *_, **__: answer)
    reason = existing.ExistingCluster().distant()
    assert reason is None if words is None else words in (reason or "")
