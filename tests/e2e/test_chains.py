"""Chains of restarts, removals in every state, duplicates, and the properties of an enqueue."""

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import requests
from tests.e2e.manifests import corejob, template
from tests.e2e.values import CLERK
from tests.support import corejobs
from tests.support.jobs import DEFERRING, DUMMY, FAILING, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import until

from corejob.properties import TABLE

pytestmark = pytest.mark.cluster

START = "start execution"
LENGTH = 10
PARKED = "e2e.chains.Parked"


def patch(kubectl: Kubectl, name: str, **spec: Any) -> None:
    """Set fields of the spec."""
    body = json.dumps({"spec": spec})
    kubectl("patch", "corejob", name, "--type=merge", "--patch", body)


@pytest.fixture(scope="module")
def parked(rest: Rest, kubectl: Kubectl, image: str) -> str:
    """A job that no node takes, so that it stays pending and costs nothing."""
    container = {"name": "job", "image": image, "command": ["true"]}
    pod = {"containers": [container], "nodeSelector": {"e2e": "nowhere"}}
    kubectl.apply(template(PARKED, runtime="container", pod=pod))
    rest.wait_listed(PARKED)
    return PARKED


# --- chains ------------------------------------------------------------------------------------


def check_chain(rest: Rest, chain: list[str]) -> None:
    """Each is the child of the one before, all but the last are past, and ids ascend."""
    assert chain == sorted(set(chain))
    documents = [rest.wait_journaled(job_id) for job_id in chain[:-1]] + [rest.detail(chain[-1])]
    for parent, child in pairwise(documents):
        assert parent["state"] == "killed"
        assert parent["flag"]["killed"] is True
        assert parent["enqueued"]["child_id"] == child["_id"]
        assert child["enqueued"]["parent_id"] == parent["_id"]
        assert child["trial"] >= parent["trial"]
        for name in ("qual_name", "args", "attempts", "priority"):
            assert child[name] == parent[name], name
        assert child["enqueued"]["username"] == parent["enqueued"]["username"]
    assert documents[0]["enqueued"]["parent_id"] is None
    assert [row["_id"] for row in rest.queue()] == [chain[-1]]


def check_one_runs(rest: Rest, kubectl: Kubectl, chain: list[str]) -> None:
    """Only the last one runs, and it has a log of its own."""
    document = rest.wait_state(chain[-1], "running")
    assert document["attempts_left"] == document["attempts"]
    assert document["last_error"] is None
    assert not any(document["flag"].values())
    for job_id in chain[:-1]:
        corejobs.wait_no_pod(kubectl, job_id)
    with rest.follow(chain[-1]) as stream:
        stream.line("sleeping [600] seconds")
    assert stream.messages.count(START) == 1


def test_a_chain_of_kills_and_restarts_without_a_pause(rest: Rest, kubectl: Kubectl):
    chain = [rest.enqueue(SLEEPY, sleep=600, attempts=2, priority=3)]
    rest.wait_state(chain[0], "running")
    for _ in range(LENGTH):
        rest.kill(chain[-1])
        chain.append(rest.restart(chain[-1]))
    check_one_runs(rest, kubectl, chain)
    check_chain(rest, chain)
    assert rest.detail(chain[-1])["trial"] == rest.detail(chain[-2])["trial"] + 1


def test_a_chain_of_restarts_of_what_runs(rest: Rest, kubectl: Kubectl):
    """As before, but each of them has come to its first line."""
    chain = [rest.enqueue(SLEEPY, sleep=600, attempts=2)]
    for _ in range(3):
        check_one_runs(rest, kubectl, chain)
        rest.kill(chain[-1])
        chain.append(rest.restart(chain[-1]))
    check_one_runs(rest, kubectl, chain)
    check_chain(rest, chain)
    for number, job_id in enumerate(chain, 1):
        assert rest.detail(job_id)["trial"] == number
        if job_id != chain[-1]:
            assert rest.messages(job_id).count(START) == 1


def child_of(kubectl: Kubectl, name: str) -> str:
    """Wait until the operator has made the CoreJob that restarts this one; returns its name."""
    noted = until(
        lambda: corejobs.status(kubectl, name),
        lambda seen: "childId" in seen,
        what=f"{name} has a child",
    )
    child: str = noted["childId"]
    until(
        lambda: kubectl.attempt("get", "corejob", child).returncode,
        lambda code: code == 0,
        what=f"the child {child} is there",
    )
    return child


def test_a_chain_by_kubectl(rest: Rest, kubectl: Kubectl):
    chain = [rest.enqueue(SLEEPY, sleep=600, attempts=2)]
    rest.wait_state(chain[0], "running")
    for _ in range(LENGTH):
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        patch(kubectl, chain[-1], kill=True, restartAt=now)
        chain.append(child_of(kubectl, chain[-1]))
    check_one_runs(rest, kubectl, chain)
    check_chain(rest, chain)


def test_a_restart_that_was_followed_by_a_kill_makes_no_other_job(rest: Rest, kubectl: Kubectl):
    """The restart asked for the next trial; the kill ended that, and nothing was asked since."""
    job_id = rest.enqueue(FAILING, message="restarted, then killed", attempts=2, error_time=600)
    rest.wait_state(job_id, "failed")
    assert rest.restart(job_id) == job_id
    rest.kill(job_id)
    status = corejobs.wait_state(kubectl, job_id, "killed")
    # The operator has had its time for more when it has run another job.
    rest.wait_state(rest.enqueue(SEGMENT, segment=1), "complete")
    assert "childId" not in corejobs.status(kubectl, job_id)
    assert [row["_id"] for row in rest.queue()] == [job_id]
    assert rest.detail(job_id)["trial"] == status["trial"]


# --- removing ----------------------------------------------------------------------------------


def by_rest(rest: Rest, kubectl: Kubectl, job_id: str) -> None:
    del kubectl
    rest.remove(job_id)


def by_kubectl(rest: Rest, kubectl: Kubectl, job_id: str) -> None:
    del rest
    patch(kubectl, job_id, remove=True)


def by_deletion(rest: Rest, kubectl: Kubectl, job_id: str) -> None:
    del rest
    kubectl("delete", "corejob", job_id, "--timeout=90s")


REMOVERS = pytest.mark.parametrize("remover", [by_rest, by_kubectl, by_deletion])


@REMOVERS
def test_what_waits_or_stopped_is_removed_as_it_is(
    rest: Rest, kubectl: Kubectl, parked: str, remover: Callable[[Rest, Kubectl, str], None]
):
    case = remover.__name__
    jobs = {
        "pending": rest.enqueue(parked, case=case),
        "failed": rest.enqueue(FAILING, message=f"failed {case}", attempts=2, error_time=600),
        "error": rest.enqueue(FAILING, message=f"error {case}"),
        "deferred": rest.enqueue(DEFERRING, defer_time=600),
        "killed": rest.enqueue(parked, case=f"killed {case}"),
    }
    rest.kill(jobs["killed"])
    before = {state: rest.wait_state(job_id, state) for state, job_id in jobs.items()}
    for job_id in jobs.values():
        remover(rest, kubectl, job_id)
    for state, job_id in jobs.items():
        rest.wait_journaled(job_id)
        # It counts as removed before the operator has noted when.
        past = rest.wait(job_id, lambda row: row["removed_at"], what="was removed")
        # To delete what waits is to remove it, no more.
        assert past["state"] == state
        assert past["flag"] == before[state]["flag"] | {"removed": True}
        assert past["trial"] == before[state]["trial"]
        for action in ("remove", "kill", "restart"):
            rest.refused(404, "PUT", f"job/{action}/{job_id}")
        corejobs.wait_no_pod(kubectl, job_id)
    assert rest.queue() == []


def test_an_inactive_job_is_removed(rest: Rest):
    job_id = rest.enqueue(DEFERRING, defer_time=1, defer_max=1)
    rest.wait_state(job_id, "inactive")
    rest.remove(job_id)
    past = rest.wait_journaled(job_id)
    assert (past["state"], past["flag"]["removed"]) == ("inactive", True)


@pytest.mark.parametrize("remover", [by_rest, by_kubectl])
@pytest.mark.parametrize(("code", "state"), [(0, "complete"), (3, "failed"), (75, "deferred")])
def test_what_runs_is_removed_when_its_trial_ends(
    rest: Rest,
    kubectl: Kubectl,
    image: str,
    remover: Callable[[Rest, Kubectl, str], None],
    code,
    state,
):
    name = f"e2e.chains.Exit{code}"
    script = f"echo begun; sleep 3; exit {code}"
    container = {"name": "job", "image": image, "command": ["sh", "-c", script]}
    kubectl.apply(template(name, runtime="container", pod={"containers": [container]}))
    rest.wait_listed(name)
    job_id = rest.enqueue(name, attempts=3, error_time=1, defer_time=1)
    with rest.follow(job_id) as stream:
        stream.line("begun")
        stream.state("running")
        remover(rest, kubectl, job_id)
        marked = stream.wait(
            lambda frame: frame.event == "state" and frame.data["flag"]["removed"],
            what="it is marked",
        ).data
        assert (marked["state"], marked["flag"]["killed"]) == ("running", False)
        stream.to_close()
    # It is not tried again, though it had attempts left.
    past = rest.wait_journaled(job_id)
    assert (past["state"], past["trial"], past["flag"]["removed"]) == (state, 1, True)
    assert rest.messages(job_id) == ["begun"]
    assert rest.queue() == []


def test_a_completed_job_can_not_be_removed(rest: Rest):
    job_id = rest.enqueue(SEGMENT, segment=1)
    rest.wait_state(job_id, "complete")
    rest.refused(404, "PUT", f"job/remove/{job_id}")
    assert rest.wait_journaled(job_id)["flag"]["removed"] is False


# --- duplicates --------------------------------------------------------------------------------


def test_of_two_racing_requests_one_wins_each_time(rest: Rest, parked: str):
    def request(body: dict[str, Any]) -> requests.Response:
        return rest.call("POST", "job", json=body)

    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            one: dict[str, Any] = {"round": number, "deep": {"a": 1, "b": [2]}}
            # The same, in another order and with other properties.
            other = {"deep": {"b": [2.0], "a": 1}, "priority": 5, "round": number}
            bodies = [{"qual_name": parked, "args": args, "follow": False} for args in (one, other)]
            answers = list(pool.map(request, bodies))
            assert sorted(answer.status_code for answer in answers) == [200, 400]
            lost = next(answer for answer in answers if answer.status_code == 400)
            assert lost.json()["error"].startswith(f"job [{parked}] exists with args ")
    assert len(rest.queue()) == 10


def test_what_is_no_duplicate_and_what_is_one(rest: Rest, parked: str):
    def refused(**args: Any) -> None:
        body = {"qual_name": parked, "args": args, "follow": False}
        assert "exists with args" in rest.refused(400, "POST", "job", json=body)

    values: list[Any] = [1, "1", True, None, [], {}, [1], 1.5]
    for value in values:
        rest.enqueue(parked, value=value)
    nothing = rest.enqueue(parked)
    for value in values:
        refused(value=value)
    refused()
    refused(priority=9)
    refused(value=1.0)
    # Killed, it is in the queue still; removed, it is not.
    rest.kill(nothing)
    rest.wait_state(nothing, "killed")
    refused()
    rest.remove(nothing)
    assert rest.enqueue(parked) != nothing


def test_of_equal_corejobs_by_kubectl_the_younger_is_refused(
    rest: Rest, kubectl: Kubectl, parked: str
):
    args = {"twin": True}
    first = rest.enqueue(parked, **args)
    kubectl.apply(corejob("younger", qualName=parked, args=args, priority=2))
    seen = corejobs.wait_state(kubectl, "younger", "error")
    assert seen["reason"] == "Duplicate"
    assert f"job [{parked}] exists with args" in seen["message"]
    assert first in seen["message"]
    assert corejobs.wait_event(kubectl, "younger", "Duplicate", "error")["type"] == "Warning"
    # It is past at once, and can't be made to run.
    past = rest.wait_journaled(seen["id"])
    assert (past["state"], past["reason"], past["trial"]) == ("error", "Duplicate", 0)
    assert past["last_error"]["exception"] == seen["message"]
    rest.refused(404, "PUT", f"job/restart/{seen['id']}")
    assert [row["_id"] for row in rest.queue()] == [first]


def test_of_many_equal_corejobs_at_once_one_is_let_in(rest: Rest, kubectl: Kubectl, parked: str):
    names = [f"twin-{number}" for number in range(5)]
    kubectl.apply(*(corejob(name, qualName=parked, args={"many": 1}) for name in names))

    def reasons() -> list[str]:
        items = kubectl.items("corejobs")
        found = [item for item in items if item["metadata"]["name"] in names]
        return sorted(item.get("status", {}).get("reason", "") for item in found)

    until(
        reasons,
        lambda seen: seen == ["Duplicate"] * 4 + ["Unschedulable"],
        what="four of five are duplicates",
    )
    assert len(rest.queue()) == 1
    body = {"qual_name": parked, "args": {"many": 1}, "follow": False}
    assert "exists with args" in rest.refused(400, "POST", "job", json=body)


def test_a_key_makes_a_retry_harmless(release: Release, rest: Rest, parked: str):
    key = {"Idempotency-Key": uuid.uuid4().hex}

    def enqueue(headers: dict[str, str], qual_name: str = parked, **args: Any) -> requests.Response:
        body = {"qual_name": qual_name, "args": args, "follow": False}
        return rest.call("POST", "job", json=body, headers=headers)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: enqueue(key, keyed=1), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    (job_id,) = {answer.json()["data"] for answer in answers}
    assert [row["_id"] for row in rest.queue()] == [job_id]

    assert enqueue(key, keyed=2).status_code == 409
    assert enqueue(key, keyed=1, priority=1).status_code == 409
    assert enqueue({"Idempotency-Key": ""}, keyed=3).status_code == 400
    assert enqueue({"Idempotency-Key": "x" * 256}, keyed=3).status_code == 400
    # Another key is another request: a duplicate.
    assert enqueue({"Idempotency-Key": uuid.uuid4().hex}, keyed=1).status_code == 400
    # A key is its user's own.
    with release.rest(CLERK, CLERK) as clerk:
        body = {"qual_name": DUMMY, "args": {"sleep": 600}, "follow": False}
        answer = clerk.call("POST", "job", json=body, headers=key)
        assert answer.status_code == 200
        assert answer.json()["data"] != job_id
    # Whatever has become of the job, the key stands for it.
    rest.kill(job_id)
    rest.remove(job_id)
    rest.wait_journaled(job_id)
    answer = enqueue(key, keyed=1)
    assert (answer.status_code, answer.json()["data"]) == (200, job_id)
    assert job_id not in {row["_id"] for row in rest.queue()}


# --- the settable properties -------------------------------------------------------------------

WHOLE: list[Any] = [0, -1, 1.5, "3", True, [1], {}, 2**31]

GOOD: dict[str, list[Any]] = {
    "attempts": [1, 7],
    "error_time": [1, 86_400],
    "defer_time": [1, 5],
    "defer_max": [1, 2**31 - 1],
    "wall_time": [1, 60],
    "zombie_time": [1, 60],
    "priority": [-5, 0, 100],
    "force": [True, False],
    "max_parallel": [1, 100],
    "progress_interval": [1, 60],
    "worker": ["some-node", "x" * 63],
}
BAD: dict[str, list[Any]] = {
    "attempts": WHOLE,
    "error_time": WHOLE,
    "defer_time": WHOLE,
    "defer_max": WHOLE,
    "wall_time": WHOLE,
    "zombie_time": WHOLE,
    "priority": [1.5, "3", True, [1], 2**31],
    "force": [0, 1, "true", "yes", []],
    "max_parallel": WHOLE,
    "progress_interval": WHOLE,
    "worker": ["", "x" * 64, 7, True, ["a"]],
}
FIELD = {prop.rest: prop.field for prop in TABLE}
# The operator notes how many run at once where the job does not say it.
DEFAULTS = {prop.rest: prop.default for prop in TABLE} | {"max_parallel": 15}


def test_the_table_has_all_properties():
    assert set(GOOD) == set(BAD) == set(FIELD)


@pytest.mark.parametrize("name", sorted(FIELD))
def test_good_values_of_a_property_are_taken(rest: Rest, kubectl: Kubectl, parked: str, name):
    for value in GOOD[name]:
        job_id = rest.enqueue(parked, **{name: value, "case": f"{name} {value}"})
        document = rest.detail(job_id)
        assert document[name] == value
        assert document["args"] == {"case": f"{name} {value}"}
        assert kubectl.json("get", "corejob", job_id)["spec"][FIELD[name]] == value
        by_hand = f"{name.replace('_', '-')}-{GOOD[name].index(value)}"
        spec = {"qualName": parked, FIELD[name]: value, "args": {"hand": by_hand}}
        kubectl.apply(corejob(by_hand, **spec))
        status = corejobs.wait_state(kubectl, by_hand, "pending")
        assert rest.detail(status["id"])[name] == value
    # Null is as good as nothing.
    job_id = rest.enqueue(parked, **{name: None, "case": "null"})
    rest.wait(job_id, lambda row: row[name] == DEFAULTS[name], what=f"has the default of {name}")


@pytest.mark.parametrize("name", sorted(FIELD))
def test_bad_values_of_a_property_are_refused(rest: Rest, kubectl: Kubectl, parked: str, name):
    for value in BAD[name]:
        body = {"qual_name": parked, "args": {name: value}, "follow": False}
        assert f"property [{name}] expected" in rest.refused(400, "POST", "job", json=body)
        document = json.dumps(corejob("refused", qualName=parked, **{FIELD[name]: value}))
        said = kubectl.refused("create", "-f", "-", stdin=document)
        assert f"spec.{FIELD[name]}" in said
    assert rest.queue() == []
    assert kubectl.attempt("get", "corejob", "refused").returncode != 0


def test_the_properties_of_a_template(rest: Rest, kubectl: Kubectl, image: str):
    container = {"name": "job", "image": image, "command": ["true"]}
    pod = {"containers": [container], "nodeSelector": {"e2e": "nowhere"}}
    name = "e2e.chains.Properties"
    properties = {FIELD[rest_name]: values[0] for rest_name, values in GOOD.items()}
    kubectl.apply(template(name, runtime="container", pod=pod, properties=properties))
    rest.wait_listed(name)
    plain = rest.enqueue(name)
    document = rest.wait(plain, lambda row: row["reason"] == "Unschedulable", what="is seen")
    assert {rest_name: document[rest_name] for rest_name in GOOD} == {
        rest_name: values[0] for rest_name, values in GOOD.items()
    }
    # What is enqueued goes first.
    last = {rest_name: values[-1] for rest_name, values in GOOD.items()}
    document = rest.detail(rest.enqueue(name, **last, case="own"))
    assert {rest_name: document[rest_name] for rest_name in GOOD} == last
    for rest_name, values in BAD.items():
        for value in values:
            bad = template("e2e.chains.Bad", properties={FIELD[rest_name]: value})
            said = kubectl.refused("create", "-f", "-", stdin=json.dumps(bad))
            assert f"spec.properties.{FIELD[rest_name]}" in said, (rest_name, value)
