"""`make test`: what it runs, and which runs may find no test."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from tests.cluster.deploy import ROOT

PYTEST = """\
import json, os, sys
words = sys.argv[1:]
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps(words) + "\\n")
sys.exit(json.loads(os.environ["CODES"]).get(words[-1] if "-m" in words else "unit", 0))
"""


class Make:
    """Make with programs that do nothing but note how they were called."""

    def __init__(self, place):
        self.place = place
        self.venv = place / "venv"
        (self.venv / "bin").mkdir(parents=True)
        for name, source in (("pytest", PYTEST), ("python", "")):
            program = self.venv / "bin" / name
            program.write_text(f"#!{sys.executable} -IS\n{source}")
            program.chmod(0o755)
        for name in (".locked", ".ready"):
            (self.venv / name).touch()

    def __call__(self, target, *, codes=None, args=""):
        """The exit code, and the arguments of each run of pytest."""
        record = self.place / "record"
        record.unlink(missing_ok=True)
        given = [f"ARGS={args}"] if args else []
        # What the make that runs these tests was given reaches its programs' environment.
        environment = {
            name: text
            for name, text in os.environ.items()
            if "MAKE" not in name and name not in ("ARGS", "WORKERS")
        }
        done = subprocess.run(
            ["make", "-C", str(ROOT), f"VENV={self.venv}", *given, target],
            check=False,
            capture_output=True,
            env={**environment, "RECORD": str(record), "CODES": json.dumps(codes or {})},
            timeout=30,
        )
        return done.returncode, [json.loads(line) for line in record.read_text().splitlines()]


@pytest.fixture
def make(tmp_path):
    assert shutil.which("make"), "make is missing: install it"
    return Make(tmp_path)


ALL = ["unit", "not alone", "alone"]


def kinds(runs):
    return [words[-1] if "-m" in words else "unit" for words in runs]


def test_all_are_run_and_all_get_the_arguments(make):
    code, runs = make("test", args="-x -k 'one or two'")
    assert code == 0
    assert kinds(runs) == ALL
    for words in runs:
        start = words.index("-x")
        assert words[start : start + 3] == ["-x", "-k", "one or two"]


def test_units_and_cluster_tests_can_be_run_alone(make):
    assert kinds(make("test-unit")[1]) == ALL[:1]
    assert kinds(make("test-e2e")[1]) == ALL[1:]


def test_what_is_found_in_one_run_only_is_enough(make):
    code, runs = make("test", args="-k name", codes={"unit": 5, "alone": 5})
    assert (code, kinds(runs)) == (0, ALL)


@pytest.mark.parametrize("run", ["unit", "not alone"])
def test_a_whole_run_without_any_test_fails(make, run):
    code, runs = make("test", codes={run: 5})
    assert code != 0
    assert kinds(runs)[-1] == run


def test_a_cluster_may_have_no_test_that_must_be_alone(make):
    assert make("test", codes={"alone": 5})[0] == 0


@pytest.mark.parametrize(
    ("target", "run"), [("test-unit", "unit"), ("test-e2e", "not alone"), ("test-e2e", "alone")]
)
def test_a_failed_test_fails_it_all(make, target, run):
    assert make(target, args="-k name", codes={run: 1})[0] != 0
