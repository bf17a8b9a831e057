"""The order of the queue, waiting for the next trial, restarts and removals, with real pods."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest
import requests
from tests.support import corejobs
from tests.support.jobs import DEFERRING, DUMMY, FAILING, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

START, DONE = "start execution", "done execution with ["


def span(rest: Rest, job_id: str) -> tuple[float, float]:
    """Return when a job of one trial started and ended, by its own log."""
    records = rest.whole_log(job_id)
    starts = [row["epoch"] for row in records if row["message"] == START]
    ends = [row["epoch"] for row in records if row["message"].startswith(DONE)]
    assert (len(starts), len(ends)) == (1, 1), records
    return starts[0], ends[0]


def test_forced_first_then_priority_then_age_and_one_at_a_time(rest: Rest):
    blocker = rest.enqueue(SEGMENT, segment=0, sleep=600, max_parallel=1)
    rest.wait_state(blocker, "running")
    oldest = rest.enqueue(SEGMENT, segment=1, max_parallel=1)
    younger = rest.enqueue(SEGMENT, segment=2, max_parallel=1)
    low = rest.enqueue(SEGMENT, segment=3, max_parallel=1, priority=-1)
    high = rest.enqueue(SEGMENT, segment=4, max_parallel=1, priority=10)
    forced = rest.enqueue(SEGMENT, segment=5, max_parallel=1, force=True)
    rest.wait_state(forced, "complete")
    waiting = rest.wait(high, lambda row: row["reason"] == "MaxParallel", what="says what for")
    assert waiting["state"] == "pending"
    assert waiting["message"]
    assert rest.detail(blocker)["state"] == "running"

    rest.kill(blocker)
    order = [high, oldest, younger, low]
    for job_id in order:
        rest.wait_state(job_id, "complete")
    spans = [span(rest, job_id) for job_id in order]
    assert spans == sorted(spans)
    for (_, ended), (started, _) in pairwise(spans):
        assert ended <= started


def test_a_job_for_a_node_that_is_not_there_says_so(rest: Rest):
    job_id = rest.enqueue(DUMMY, worker="no-such-node", case="worker")
    document = rest.wait(job_id, lambda row: row["reason"] == "Unschedulable", what="is stuck")
    assert document["state"] == "pending"
    assert "node" in document["message"]


def test_restart_of_a_failed_job_starts_its_next_trial_at_once(rest: Rest):
    job_id = rest.enqueue(FAILING, attempts=2, error_time=600, message="restarted")
    failed = rest.wait_state(job_id, "failed")
    assert failed["query_at"] is not None
    assert failed["highstate"] == "waiting"
    assert (failed["attempts_left"], failed["trial"]) == (1, 1)
    with rest.stream("PUT", f"job/restart/{job_id}") as stream:
        stream.to_close()
    assert {document["_id"] for document in stream.of("state")} == {job_id}
    assert stream.states[-1] == "error"
    detail = rest.detail(job_id)
    assert (detail["attempts_left"], detail["trial"]) == (0, 2)
    assert detail["query_at"] is None
    assert rest.messages(job_id).count(START) == 2


def test_restart_of_a_deferred_job_starts_its_next_trial_at_once(rest: Rest):
    job_id = rest.enqueue(DEFERRING, times=1, defer_time=600)
    rest.wait_state(job_id, "deferred")
    assert rest.restart(job_id) == job_id
    document = rest.wait_state(job_id, "complete")
    assert document["trial"] == 2
    assert document["attempts_left"] == 1


def test_the_lineage_of_a_restart(rest: Rest):
    arguments = {"defer_time": 1, "defer_max": 1, "attempts": 2, "priority": 3, "trial": 5}
    old = rest.enqueue(DEFERRING, **arguments)
    inactive = rest.wait_state(old, "inactive")
    assert (inactive["journal"], inactive["highstate"]) == (False, "stopped")
    assert inactive["trial"] >= 6
    new = rest.restart(old)
    assert new > old

    past = rest.wait_journaled(old)
    assert past["state"] == "inactive"
    assert past["enqueued"]["child_id"] == new
    child = rest.detail(new)
    assert child["enqueued"]["parent_id"] == old
    assert "child_id" not in child["enqueued"]
    for name in ("qual_name", "args", "attempts", "priority", "defer_time", "defer_max"):
        assert child[name] == past[name], name
    for name in ("username", "hostname"):
        assert child["enqueued"][name] == past["enqueued"][name], name

    running = rest.wait(new, lambda row: row["trial"] > past["trial"], what="has started")
    assert running["trial"] == past["trial"] + 1
    assert running["attempts_left"] == 2
    assert not any(running["flag"].values())
    assert rest.wait_state(new, "inactive")["enqueued"]["parent_id"] == old


def test_a_running_or_pending_job_can_not_be_restarted(rest: Rest):
    running = rest.enqueue(SLEEPY, sleep=600, max_parallel=1)
    rest.wait_state(running, "running")
    pending = rest.enqueue(SLEEPY, sleep=601, max_parallel=1)
    for job_id, state in ((running, "running"), (pending, "pending")):
        assert state in rest.refused(409, "PUT", f"job/restart/{job_id}")
    assert [row["_id"] for row in rest.queue()] == [running, pending]


def test_a_past_job_can_not_be_killed_restarted_or_removed(rest: Rest):
    job_id = rest.enqueue(SEGMENT, segment=1)
    rest.wait_state(job_id, "complete")
    rest.wait_journaled(job_id)
    for action in ("kill", "restart", "remove"):
        rest.refused(404, "PUT", f"job/{action}/{job_id}")
    assert rest.detail(job_id)["state"] == "complete"


def test_a_final_job_is_not_killed_again(rest: Rest):
    job_id = rest.enqueue(FAILING, message="not killed")
    before = rest.wait_state(job_id, "error")
    rest.kill(job_id)
    after = rest.detail(job_id)
    for name in ("state", "killed_at", "flag", "finished_at", "last_error"):
        assert after[name] == before[name], name


def test_a_kill_stops_the_pod_and_uses_no_attempt(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600, attempts=2)
    rest.wait_state(job_id, "running")
    rest.kill(job_id)
    document = rest.wait(job_id, lambda row: row["highstate"] == "stopped", what="is stopped")
    assert document["state"] == "killed"
    with rest.follow(job_id) as stream:
        stream.to_close()
    document = rest.detail(job_id)
    assert document["attempts_left"] == 2
    assert document["killed_at"] is not None
    assert document["flag"] == {"zombie": False, "killed": True, "removed": False, "nonstop": False}
    assert document["last_error"]["exception"] == "JobKilledByWorker"
    assert document["locked"] is None
    assert stream.messages[-1].startswith("done execution with [killed] after [")
    corejobs.wait_no_pod(kubectl, job_id)


def test_a_job_that_is_deaf_to_its_kill_is_ended_all_the_same(rest: Rest):
    with rest.run(SLEEPY, sleep=600, ignore=True) as stream:
        job_id = stream.state("running")["_id"]
        stream.line("sleeping [600] seconds")
        rest.kill(job_id)
        stream.to_close()
    assert rest.detail(job_id)["state"] == "killed"


def test_a_waiting_job_is_killed_and_another_removed(rest: Rest):
    blocker = rest.enqueue(SLEEPY, sleep=600, max_parallel=1)
    rest.wait_state(blocker, "running")
    killed = rest.enqueue(SLEEPY, sleep=601, max_parallel=1)
    removed = rest.enqueue(SLEEPY, sleep=602, max_parallel=1)
    rest.kill(killed)
    rest.remove(removed)
    assert [row["_id"] for row in rest.queue()] == [blocker, killed]
    document = rest.wait(killed, lambda row: row["killed_at"], what="is killed")
    assert (document["state"], document["trial"]) == ("killed", 0)
    past = rest.wait_journaled(removed)
    assert (past["state"], past["flag"]["removed"]) == ("pending", True)
    rest.refused(404, "PUT", f"job/remove/{removed}")


def test_overdue_jobs_are_flagged_and_run_on(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600, wall_time=1, zombie_time=2)
    flagged = rest.wait(
        job_id,
        lambda row: row["flag"]["nonstop"] and row["flag"]["zombie"],
        what="is flagged as nonstop and as zombie",
    )
    assert flagged["wall_at"] is not None
    assert flagged["zombie_at"] is not None
    # `observedGeneration` shows that the operator has reconciled it once more.
    kubectl("patch", "corejob", job_id, "--type=merge", "--patch", '{"spec": {"priority": 1}}')
    seen = until(
        lambda: kubectl.json("get", "corejob", job_id),
        lambda job: job["status"]["observedGeneration"] == job["metadata"]["generation"],
        what="the operator has looked at it again",
    )
    assert (seen["status"]["state"], seen["status"]["trial"]) == ("running", 1)
    (pod,) = corejobs.pods(kubectl, job_id)
    assert pod["status"]["phase"] == "Running"
    assert "deletionTimestamp" not in pod["metadata"]


def test_one_of_racing_requests_for_the_same_job_wins(rest: Rest):
    body = {"qual_name": SLEEPY, "args": {"sleep": 600, "max_parallel": 1}, "follow": False}

    def request(_: int) -> requests.Response:
        return rest.call("POST", "job", json=body)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(request, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    winner = next(answer.json()["data"] for answer in answers if answer.status_code == 200)
    for answer in answers:
        if answer.status_code == 400:
            assert answer.json()["error"].startswith(f"job [{SLEEPY}] exists with args ")
    assert [row["_id"] for row in rest.queue()] == [winner]


def test_the_history_counts_the_queue(rest: Rest):
    job_id = rest.enqueue(SEGMENT, segment=7)
    rest.wait_state(job_id, "complete")
    rest.wait_journaled(job_id)
    for path in ("jobs/history", "queue/history"):
        answer = until(
            partial(rest.answer, "GET", path),
            lambda found: found["total_count"] > 0,
            what=f"{path} has rows",
        )
        for row in answer["data"]:
            states = {name: n for name, n in row.items() if name not in {"_id", "created", "total"}}
            assert row["total"] == sum(states.values()), row
