"""`make test`: the runs that it starts, and which of them may find no test."""

import json
import os
import re
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


# Runs `-c` and `-m` as python does, with the standard library and this checkout only.
PLAIN = """\
import runpy, sys
kind, what = sys.argv[1:3]
sys.argv[:3] = [what]
if kind == "-c":
    exec(what)
else:
    sys.path.insert(0, "")
    runpy.run_module(what, run_name="__main__", alter_sys=True)
"""


class Make:
    """Runs make with programs that only record their arguments."""

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

    def __call__(self, target, *, codes=None, args="", **variables):
        """Return the exit code, and the arguments of each run of pytest."""
        record = self.place / "record"
        record.write_text("")
        given = [f"ARGS={args}"] if args else []
        given += [f"{name}={value}" for name, value in variables.items()]
        environment = {"RECORD": str(record), "CODES": json.dumps(codes or {})}
        done = self._make(target, given, environment)
        return done.returncode, [json.loads(line) for line in record.read_text().splitlines()]

    def run(self, target, **variables):
        """Return the exit code and the output."""
        given = [f"{name}={value}" for name, value in variables.items()]
        done = self._make(target, given, {})
        return done.returncode, done.stdout + done.stderr

    def _make(self, target, given, environment):
        # The environment has the variables of the make that runs these tests: leave them out.
        kept = {
            name: text
            for name, text in os.environ.items()
            if "MAKE" not in name and name not in ("ARGS", "WORKERS", "SEEDS", "FIRST")
        }
        return subprocess.run(
            ["make", "-C", str(ROOT), f"VENV={self.venv}", *given, target],
            check=False,
            capture_output=True,
            env={**kept, **environment},
            text=True,
            timeout=240,
        )


@pytest.fixture
def make(tmp_path):
    assert shutil.which("make"), "make is missing: install it"
    return Make(tmp_path)


CROWD = "not alone and not thorough"
ALL = ["unit", CROWD, "alone"]


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


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("tests/unit/kube", ALL[:1]),
        ("-x ./tests/unit/kube/test_leases.py::test_one", ALL[:1]),
        ("tests/e2e/test_logs.py", ALL[1:]),
        ("tests/attacks/test_http.py", ALL[1:]),
        ("tests/e2e/test_logs.py tests/unit/kube -v", ALL),
        ("tests", ALL),
        ("-k tests_of_something", ALL),
        (f"{ROOT}/tests/unit/kube", ALL),
        ("--deselect tests/e2e/test_logs.py::test_one", ALL),
        ("--ignore tests/unit/kube --ignore-glob tests/unit/a*", ALL),
    ],
)
def test_named_files_leave_out_the_suite_that_has_none_of_them(make, args, expected):
    codes = dict.fromkeys(expected[1:], 5)
    code, runs = make("test", args=args, codes=codes)
    assert (code, kinds(runs)) == (0, expected)


@pytest.mark.parametrize("target", ["test", "test-unit", "test-e2e"])
def test_arguments_that_select_no_test_at_all_are_an_error(make, target):
    codes = {"unit": 5, CROWD: 5, "alone": 5}
    assert make(target, args="-k no_such_test", codes=codes)[0] != 0


def test_a_misspelt_file_is_an_error(make):
    code, said = make.run("test", ARGS="tests/unti/test_names.py")
    assert code != 0
    assert "ARGS name no test" in said


@pytest.mark.parametrize("target", ["test", "test-e2e"])
def test_a_selection_that_another_would_replace_is_refused(make, target):
    code, runs = make(target, args="-m host")
    assert (code != 0, runs) == (True, [])
    assert make("test-unit", args="-m hypothesis")[0] == 0


@pytest.mark.parametrize("target", ["test", "test-unit", "test-e2e"])
def test_no_run_names_its_own_folder_beside_the_named_files(make, target):
    named = "tests/unit/kube/test_leases.py tests/e2e/test_logs.py"
    for words in make(target, args=named)[1]:
        assert [word for word in words if word.startswith("tests")] == named.split()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], {"test_in_e2e", "test_other_in_e2e"}),
        (["e2e/test_it.py"], {"test_in_e2e", "test_other_in_e2e"}),
        (["e2e/test_it.py::test_in_e2e", "unit"], {"test_in_e2e"}),
        (["unit", "-k", "other"], set()),
        (["-k", "other"], {"test_other_in_e2e"}),
    ],
)
def test_a_suite_runs_those_of_its_tests_that_are_named(tmp_path, args, expected):
    for name in ("unit", "e2e"):
        (tmp_path / name).mkdir()
        tests = f"def test_in_{name}(): pass\ndef test_other_in_{name}(): pass\n"
        (tmp_path / name / "test_it.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\ntestpaths = .\n")
    suite = ["--override-ini=testpaths=e2e", "--suite=e2e"]
    plain = ["-p", "tests.support.suite", "-p", "no:cacheprovider", "-v"]
    plain += ["--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *suite, *args],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=240,
    )
    assert done.returncode == (0 if expected else 5), done.stdout + done.stderr
    assert set(re.findall(r"::(\w+) PASSED", done.stdout)) == expected


def test_chaos_runs_the_seeds_that_are_named(make):
    (words,) = make("chaos", SEEDS=3, FIRST=17)[1]
    assert "--chaos-seeds=17:3" in words


# Not clean-all: it would clean the checkout that these tests are in.
@pytest.mark.parametrize("target", ["down", "status"])
def test_stopping_needs_no_virtual_environment(make, tmp_path, target):
    shutil.rmtree(make.venv)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -IS -c '{PLAIN}' \"$@\"\n")
    python.chmod(0o755)
    code, said = make.run(target, PYTHON=python, CORE4_CACHE=tmp_path / "cache")
    assert code == 0, said
    assert "no cluster was started here" in said
    assert not make.venv.exists()


def test_stopping_says_which_python_it_needs(make, tmp_path):
    shutil.rmtree(make.venv)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    code, said = make.run("down", PYTHON=python)
    assert code != 0
    assert "Python 3.11 or later is needed" in said


COMMANDS = """\
import os, sys, time
with open(os.environ["RECORD"], "a") as file:
    print("begin", sys.argv[-1], file=file, flush=True)
    time.sleep(0.3)
    print("end", sys.argv[-1], file=file)
sys.exit(int(os.environ.get("CODE", 0)))
"""


@pytest.fixture
def record(make, monkeypatch):
    """The file in which commands of `tests.cluster` note their begin and end."""
    path = make.place / "record"
    monkeypatch.setenv("RECORD", str(path))
    (make.venv / "bin" / "python").write_text(f"#!{sys.executable} -IS\n{COMMANDS}")
    return path


def test_targets_run_one_after_the_other_even_with_many_jobs(make, record):
    done = make._make("down", ["--jobs=4", "up"], {})
    assert done.returncode == 0, done.stdout + done.stderr
    words = record.read_text().split()[::2], record.read_text().split()[1::2]
    assert words == (["begin", "end"] * 3, ["up", "up", "deploy", "deploy", "down", "down"])


@pytest.mark.parametrize(("code", "failed"), [(0, False), (3, False), (1, True)])
def test_a_cluster_that_does_not_run_is_a_status_and_a_failure_is_not(make, record, code, failed):
    assert record
    done = make._make("status", [], {"CODE": str(code)})
    assert (done.returncode != 0) is failed


# A virtual environment's maker, which notes its arguments.
VENV_MAKER = """\
import pathlib, sys
if sys.argv[1:3] == ["-m", "venv"]:
    place = pathlib.Path(sys.argv[-1])
    (place / "made").write_text(" ".join(sys.argv[1:]))
    (place / "bin" / "python").unlink(missing_ok=True)
    (place / "bin" / "python").write_text("#!/bin/sh\\n")
    (place / "bin" / "python").chmod(0o755)
"""


@pytest.mark.parametrize("fault", ["interrupted", "upgraded"])
def test_a_broken_virtual_environment_is_made_anew(make, tmp_path, fault):
    maker = tmp_path / "maker"
    maker.write_text(f"#!{sys.executable} -IS\n{VENV_MAKER}")
    maker.chmod(0o755)
    python = make.venv / "bin" / "python"
    if fault == "interrupted":
        python.write_text("#!/bin/sh\necho no module named pip >&2; exit 1\n")
        (make.venv / ".locked").unlink()
    else:
        python.unlink()
        python.symlink_to(tmp_path / "python3.9")
    code, said = make.run("venv", PYTHON=maker)
    assert code == 0, said
    assert "--clear" in (make.venv / "made").read_text()


def test_a_test_that_one_run_finds_is_enough(make):
    code, runs = make("test", args="-k name", codes={"unit": 5, "alone": 5})
    assert (code, kinds(runs)) == (0, ALL)


@pytest.mark.parametrize("run", ["unit", CROWD])
def test_a_whole_run_without_any_test_fails(make, run):
    code, runs = make("test", codes={run: 5})
    assert code != 0
    assert kinds(runs)[-1] == run


def test_a_cluster_may_have_no_test_that_must_be_alone(make):
    assert make("test", codes={"alone": 5})[0] == 0


@pytest.mark.parametrize(
    ("target", "run"), [("test-unit", "unit"), ("test-e2e", CROWD), ("test-e2e", "alone")]
)
def test_a_failed_test_fails_it_all(make, target, run):
    assert make(target, args="-k name", codes={run: 1})[0] != 0
