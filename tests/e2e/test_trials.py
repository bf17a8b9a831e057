"""The list of a job's trials, by REST and by the command, in the queue and in the journal."""

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.command import Command
from tests.support.jobs import FAILING, SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.scripts import SHELL_DRAINED
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

START = "start execution"
INIT = "e2e.trials.Init"


@pytest.fixture
def core4(release: Release, tmp_path: Path) -> Command:
    return Command.of(release.root, tmp_path)


def trials(rest: Rest, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rest.detail(job_id)["trials"]
    return found


def messages(rest: Rest, job_id: str, **where: Any) -> list[str]:
    rows = rest.data("GET", f"job/log/{job_id}", per_page=1000, **where)
    return [row["message"] for row in rows]


def past(rest: Rest, kubectl: Kubectl, job_id: str) -> list[dict[str, Any]]:
    """Remove a job from the queue and its CoreJob from Kubernetes; return its trials then."""
    rest.remove(job_id)
    kubectl("delete", "corejob", job_id, "--ignore-not-found", "--timeout=120s", timeout=150)
    until(
        lambda: rest.data("GET", "job/journal", filter={"_id": job_id}),
        what=f"job {job_id} is in the journal",
    )
    document = rest.detail(job_id)
    assert document["journal"] is True
    found: list[dict[str, Any]] = document["trials"]
    return found


def check(entry: dict[str, Any], trial: int, state: str, reason: str, code: int | None) -> None:
    """Check an entry of a trial that has ended, and whose container ran."""
    assert (entry["trial"], entry["state"], entry["reason"]) == (trial, state, reason)
    assert entry["exit_code"] == code
    assert entry["started_at"] <= entry["finished_at"]
    assert entry["node"]
    assert f"-{trial}-" in entry["pod"]


def test_three_attempts_that_fail(rest: Rest, kubectl: Kubectl, core4: Command):
    job_id = rest.enqueue(FAILING, attempts=3, error_time=1)
    rest.wait_state(job_id, "error")
    log = rest.whole_log(job_id)
    found = trials(rest, job_id)
    assert len(found) == 3
    for number, state in ((1, "failed"), (2, "failed"), (3, "error")):
        check(found[number - 1], number, state, "CodeError", 1)
    assert found[0]["log_from"] == log[0]["_id"]
    assert found[2]["log_to"] == log[-1]["_id"]
    parts = [messages(rest, job_id, trial=number) for number in (1, 2, 3)]
    assert all(part[0].startswith(START) for part in parts)
    assert sorted(message for part in parts for message in part) == sorted(
        record["message"] for record in log
    )
    status = corejobs.status(kubectl, job_id)
    assert [entry["trial"] for entry in status["trials"]] == [1, 2, 3]
    assert status["exitCode"] == 1

    table = core4("get", job_id).out.split("Trials:\n")[1].splitlines()
    assert [line.split()[:4] for line in table[1:]] == [
        ["1", "failed", "CodeError", "1"],
        ["2", "failed", "CodeError", "1"],
        ["3", "error", "CodeError", "1"],
    ]
    shown = core4("logs", job_id, "--trial", "2", "--no-prefix")
    assert (shown.code, shown.out.splitlines()[0]) == (0, parts[1][0])
    assert shown.out.count(START) == 1
    assert core4("logs", "-f", job_id, "--trial", "2", "--no-prefix").out == shown.out
    missing = core4("logs", job_id, "--trial", "4")
    assert (missing.code, missing.out) == (3, "")
    assert "its trials: 1, 2, 3" in missing.err

    assert past(rest, kubectl, job_id) == found
    assert core4("logs", job_id, "--trial", "2", "--no-prefix").out == shown.out
    assert core4("get", job_id).out.split("Trials:\n")[1].splitlines() == table


def test_an_eviction_and_a_kill(rest: Rest, kubectl: Kubectl, core4: Command):
    job_id = rest.enqueue(SLEEPY, sleep=600)
    with rest.follow(job_id) as stream:
        stream.line("sleeping [600] seconds")
        [entry] = rest.wait(job_id, lambda row: bool(row["trials"]), what="has a trial")["trials"]
        assert (entry["trial"], entry["state"], entry["finished_at"]) == (1, "running", None)
        corejobs.evict(kubectl, corejobs.pod_name(kubectl, job_id))
        rest.wait(
            job_id,
            lambda row: (row["state"], row["trial"]) == ("running", 2),
            what="runs again",
        )
    first, second = trials(rest, job_id)
    check(first, 1, "pending", "Evicted", first["exit_code"])
    assert (second["trial"], second["state"], second["reason"]) == (2, "running", None)
    # The log of the first trial is at its end, although the job goes on.
    ended = core4("logs", "-f", job_id, "--trial", "1", "--no-prefix")
    assert (ended.code, ended.out.count(START)) == (0, 1)

    until(lambda: messages(rest, job_id, trial=2), what="the second trial logs", seconds=180)
    rest.kill(job_id)
    rest.wait(job_id, lambda row: bool(row["killed_at"]), what="is stopped")
    rest.whole_log(job_id)
    found = trials(rest, job_id)
    # 137: on a busy node the grace period may be over before the job has stopped.
    assert found[1]["exit_code"] in {143, 137}
    check(found[1], 2, "killed", "Killed", found[1]["exit_code"])
    assert [entry["state"] for entry in found] == ["pending", "killed"]
    assert messages(rest, job_id, trial=2)[-1].startswith("done execution with [killed]")
    assert past(rest, kubectl, job_id) == found


def test_an_init_container_that_fails(rest: Rest, kubectl: Kubectl, image: str):
    def shell(name: str, script: str) -> dict[str, Any]:
        container = {"name": name, "image": image, "command": ["sh", "-c", script]}
        return {**container, "imagePullPolicy": "Never"}

    spec = {
        "initContainers": [shell("prepare", SHELL_DRAINED + "echo no database; exit 3")],
        "containers": [shell("job", "true")],
    }
    kubectl.apply(template(INIT, runtime="container", pod=spec))
    rest.wait_listed(INIT)
    job_id = rest.enqueue(INIT, attempts=1)
    rest.wait_state(job_id, "error")
    rest.whole_log(job_id)
    [entry] = found = trials(rest, job_id)
    assert (entry["state"], entry["reason"]) == ("error", "InitContainerFailed")
    assert (entry["exit_code"], entry["started_at"]) == (3, None)
    assert "no database" in messages(rest, job_id, trial=1)
    assert past(rest, kubectl, job_id) == found


def test_a_suspended_trial_has_two_entries(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600)
    with rest.follow(job_id) as stream:
        stream.line("sleeping [600] seconds")
    for suspend, state in ((True, "pending"), (False, "running")):
        patch = f'{{"spec": {{"suspend": {str(suspend).lower()}}}}}'
        kubectl("patch", "job", f"{job_id}-1", "--type=merge", "-p", patch)
        rest.wait_state(job_id, state)
    first, second = trials(rest, job_id)
    check(first, 1, "pending", "Suspended", first["exit_code"])
    assert (second["trial"], second["state"]) == (1, "running")
    assert first["pod"] != second["pod"]
    rest.kill(job_id)
    rest.wait(job_id, lambda row: bool(row["killed_at"]), what="is stopped")
    rest.whole_log(job_id)
    found = trials(rest, job_id)
    assert [entry["state"] for entry in found] == ["pending", "killed"]
    assert found[0]["log_to"] < found[1]["log_from"]
    assert past(rest, kubectl, job_id) == found
