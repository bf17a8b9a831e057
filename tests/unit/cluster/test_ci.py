"""`.ci/run`: the cluster is stopped at the end, and the run can be interrupted at any time."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.cluster.deploy import ROOT

# Notes its target; `test` lasts until it is interrupted if the test says so.
MAKE = """\
import json, os, signal, sys, time
target = sys.argv[1]
def note(text):
    with open(os.environ["RECORD"], "a") as file:
        print(text, file=file)
def interrupted(*_):
    note("interrupted")
    sys.exit(2)
signal.signal(signal.SIGINT, interrupted)
note(target)
if target == os.environ.get("LASTS"):
    time.sleep(60)
sys.exit(target == os.environ.get("FAILS"))
"""


class Run:
    """A copy of the script in a checkout whose `make` only notes its targets."""

    def __init__(self, place):
        self._record = place / "record"
        self._record.touch()
        (place / ".ci").mkdir()
        shutil.copy2(ROOT / ".ci" / "run", place / ".ci" / "run")
        (place / "programs").mkdir()
        program = place / "programs" / "make"
        program.write_text(f"#!{sys.executable} -IS\n{MAKE}")
        program.chmod(0o755)
        self._script = place / ".ci" / "run"
        self._path = f"{program.parent}:{os.environ['PATH']}"

    def start(self, **variables):
        return subprocess.Popen(
            [str(self._script)],
            env={**os.environ, "PATH": self._path, "RECORD": str(self._record), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def targets(self):
        return self._record.read_text().split()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_the_cluster_is_stopped_after_all_tests(run):
    with run.start() as process:
        assert process.wait(60) == 0
    assert run.targets == ["lint", "test", "down"]


@pytest.mark.parametrize(
    ("fails", "targets"),
    [
        ("lint", ["lint", "down"]),
        ("test", ["lint", "test", "down"]),
        ("down", ["lint", "test", "down"]),
    ],
)
def test_a_failure_of_any_part_fails_the_run(run, fails, targets):
    with run.start(FAILS=fails) as process:
        assert process.wait(60) == 1
    assert run.targets == targets


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_only_its_script_is_told_to_end_stops_its_tests_and_the_cluster(run, number):
    with run.start(LASTS="test") as process:
        deadline = time.monotonic() + 30
        while "test" not in run.targets and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert run.targets == ["lint", "test", "interrupted", "down"]
