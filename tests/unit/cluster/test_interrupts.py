"""Tests interrupt processes also if the run itself was started in the background."""

import signal
import subprocess
import sys

import pytest
from tests.cluster.deploy import ROOT

TESTS = """\
import signal
import subprocess
import sys

SCRIPT = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"

def test_a_process_of_a_test():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "True\\n"
"""


@pytest.mark.parametrize("processes", [[], ["--numprocesses=1"]])
@pytest.mark.parametrize(("plugins", "passes"), [(["tests.support.interrupts"], True), ([], False)])
def test_a_run_in_the_background_has_processes_that_can_be_interrupted(
    tmp_path, processes, plugins, passes
):
    (tmp_path / "conftest.py").write_text(f"pytest_plugins = {plugins}")
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    argv = ["-m", "pytest", "-p", "no:cacheprovider", *processes, str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
        # As a shell does for a command that it starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (done.returncode == 0) is passes, done.stdout + done.stderr
    assert "1 passed" in done.stdout if passes else "1 failed" in done.stdout
