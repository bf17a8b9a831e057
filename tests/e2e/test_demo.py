"""`make demo`'s program, against the suite's own release."""

import sys

import pytest
from tests.cluster import deploy
from tests.cluster.commands import run
from tests.support.jobs import DUMMY
from tests.support.release import Release
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster


def demo(release: Release, url: str | None = None):
    where = ["--url", url or release.root, "--namespace", release.namespace, "--sleep", "2"]
    argv = [sys.executable, "-m", "tests.demo", *where]
    return run(argv, check=False, cwd=deploy.ROOT, timeout=240)


def test_it_shows_the_stream_and_what_is_left_of_the_job(release: Release, rest: Rest):
    # Ensures that there is a CoreJob to show, even if the demo's own is already gone.
    other = rest.enqueue(DUMMY, case="another", worker="no-such-node")
    result = demo(release)
    assert result.returncode == 0, result.stderr
    shown = result.stdout
    for text in ("just sleeping [2] seconds", "line 1 at", "complete", "close  {", "make down"):
        assert text in shown, shown
    assert "NAME" in shown
    assert other in shown


def test_it_says_so_when_its_job_is_there_already(release: Release, rest: Rest):
    rest.enqueue(DUMMY, sleep=2, logging=True, max_parallel=1, attempts=1, worker="no-such-node")
    result = demo(release)
    assert result.returncode == 1
    assert f"job [{DUMMY}] exists with args" in result.stderr
    assert "/job/remove/" in result.stderr


def test_it_says_so_when_nobody_answers(release: Release):
    result = demo(release, "http://127.0.0.1:9")
    assert result.returncode == 1
    assert "does not answer" in result.stderr
