"""CoreJobs that the API server admits but that can't become Jobs: each ends with a reason."""

import json

import pytest
from tests.attacks.names import OPEN
from tests.attacks.scripts import SECONDS, run, run_to_end
from tests.e2e.manifests import corejob
from tests.support import corejobs
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.scripts import DRAINED
from tests.support.waiting import until

QUICK = {"code": "print('x')" + DRAINED}
ODD_TIMES = (
    "0000-01-01T00:00:00Z",
    "2026-01-01T00:00:00+99:00",
    "9999-12-31T23:59:59-23:59",
    "2026-01-01t00:00:00z",
    "2026-01-01T00:00:00Z",
)


def test_a_restart_of_what_is_made_only_now_is_refused(kubectl: Kubectl) -> None:
    for moment in ODD_TIMES:
        document = corejob("born-restarted", qualName=OPEN, args=QUICK, restartAt=moment)
        assert "restartAt" in kubectl.refused("create", "-f", "-", stdin=json.dumps(document))


def test_a_running_job_does_not_leave_the_queue_by_a_child(rest: Rest, kubectl: Kubectl) -> None:
    job_id = run(rest, "import time; time.sleep(600)")
    rest.wait_state(job_id, "running", seconds=SECONDS)
    patch = json.dumps({"spec": {"childId": "0" * 24}})
    said = kubectl.refused("patch", "corejob", job_id, "--type=merge", "--patch", patch)
    assert "childId" in said
    assert any(row["_id"] == job_id for row in rest.queue())
    rest.kill(job_id)


def test_the_younger_one_is_a_duplicate_if_two_jobs_have_equal_large_args(
    rest: Rest, kubectl: Kubectl
) -> None:
    args = {"code": "import time; time.sleep(600)", "text": "x" * 700_000}
    for name in ("elder", "younger"):
        document = corejob(name, qualName=OPEN, args=args, worker="no-such-node")
        kubectl("create", "-f", "-", stdin=json.dumps(document))
        until(lambda name=name: corejobs.status(kubectl, name), what=f"{name} has a status")  # type: ignore[misc]
    assert corejobs.wait_state(kubectl, "younger", "error")["reason"] == "Duplicate"
    kubectl("delete", "corejob", "elder", "younger", "--ignore-not-found", "--timeout=120s")
    assert isinstance(rest.queue(), list)


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        *(
            pytest.param(text, marks=pytest.mark.thorough)
            for text in ("\ud800", "x" * 300, "\n\t\x1b[2J")
        ),
    ],
)
def test_an_odd_username_costs_no_line_of_the_log(rest: Rest, kubectl: Kubectl, text: str) -> None:
    document = corejob("odd-user", qualName=OPEN, args=QUICK, username=text)
    made = kubectl.attempt("create", "-f", "-", stdin=json.dumps(document))
    if made.returncode != 0:
        assert "username" in made.stderr or "invalid" in made.stderr
        return
    try:
        status = corejobs.wait_state(kubectl, "odd-user", "complete", seconds=SECONDS)
        rest.wait_known(status["id"])
        assert rest.messages(status["id"]) == ["x"]
    finally:
        # It may be past, and gone by itself.
        kubectl("delete", "corejob", "odd-user", "--ignore-not-found", "--timeout=120s")
    assert run_to_end(rest, "print('after')")["state"] == "complete"
