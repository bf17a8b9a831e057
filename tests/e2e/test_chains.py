"""Chains of restarts, removals in every state, duplicates, and the properties of an enqueue."""

import json
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import requests
from tests.e2e.manifests import corejob, template
from tests.e2e.values import CLERK
from tests.support import corejobs
from tests.support.jobs import DEFERRING, DUMMY, FAILING, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl, polled
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
    """Enqueue a job that no node accepts, so that it stays pending and uses nothing."""
    container = {"name": "job", "image": image, "command": ["true"]}
    pod = {"containers": [container], "nodeSelector": {"e2e": "nowhere"}}
    kubectl.apply(template(PARKED, runtime="container", pod=pod))
    rest.wait_listed(PARKED)
    return PARKED


# --- chains ------------------------------------------------------------------------------------


def check_chain(rest: Rest, chain: list[str]) -> None:
    """Check that each is the child of the one before, all but the last are past, and ids ascend."""
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
    """Check that only the last one runs, and that it has a log of its own."""
    document = rest.wait_state(chain[-1], "running")
    assert document["attempts_left"] == document["attempts"]
    assert document["last_error"] is None
    assert not any(document["flag"].values())
    if chain[:-1]:
        corejobs.wait_no_pod(kubectl, *chain[:-1])
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
    """As above, but each job has logged its first line."""
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
    """Wait until the operator has created the CoreJob that restarts this one; return its name.

    The CoreJob exists before the operator records it in the parent.
    """
    noted = polled(
        lambda: corejobs.status(kubectl, name),
        lambda seen: "childId" in seen,
        what=f"{name} has a child",
    )
    child: str = noted["childId"]
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


def test_a_restart_that_was_followed_by_a_kill_makes_no_other_job(
    rest: Rest, kubectl: Kubectl, parked: str
):
    """The restart asked for the next trial; the kill ended that, and no restart followed it."""
    # The kill comes while the job starts, runs or has failed once more.
    job_id = rest.enqueue(FAILING, message="restarted, then killed", attempts=3, error_time=600)
    rest.wait_state(job_id, "failed")
    assert rest.restart(job_id) == job_id
    rest.kill(job_id)
    status = corejobs.wait_state(kubectl, job_id, "killed")
    # When the operator has created another job's pod, it has had time to do more here.
    other = rest.enqueue(parked, case="after the kill")
    rest.wait(other, lambda row: row["reason"] == "Unschedulable", what="is seen")
    assert "childId" not in corejobs.status(kubectl, job_id)
    assert [row["_id"] for row in rest.queue()] == [job_id, other]
    assert rest.detail(job_id)["trial"] == status["trial"]


# --- removing ----------------------------------------------------------------------------------


Remover = Callable[..., None]


def by_rest(rest: Rest, kubectl: Kubectl, *job_ids: str) -> None:
    del kubectl
    for job_id in job_ids:
        rest.remove(job_id)


def by_kubectl(rest: Rest, kubectl: Kubectl, *job_ids: str) -> None:
    del rest
    for job_id in job_ids:
        patch(kubectl, job_id, remove=True)


def by_deletion(rest: Rest, kubectl: Kubectl, *job_ids: str) -> None:
    del rest
    kubectl("delete", "corejob", *job_ids, "--timeout=150s", timeout=180)


REMOVERS = pytest.mark.parametrize("remover", [by_rest, by_kubectl, by_deletion])


@REMOVERS
def test_a_waiting_or_stopped_job_is_removed_and_keeps_its_state(
    rest: Rest, kubectl: Kubectl, parked: str, remover: Remover
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
    remover(rest, kubectl, *jobs.values())
    for state, job_id in jobs.items():
        rest.wait_journaled(job_id)
        # The job counts as removed before the operator has recorded when.
        past = rest.wait(job_id, lambda row: row["removed_at"], what="was removed")
        # Deleting a waiting job is no more than removing it.
        assert past["state"] == state
        assert past["flag"] == before[state]["flag"] | {"removed": True}
        assert past["trial"] == before[state]["trial"]
        for action in ("remove", "kill", "restart"):
            rest.refused(404, "PUT", f"job/{action}/{job_id}")
    corejobs.wait_no_pod(kubectl, *jobs.values())
    assert rest.queue() == []


def test_an_inactive_job_is_removed(rest: Rest):
    job_id = rest.enqueue(DEFERRING, defer_time=1, defer_max=1)
    rest.wait_state(job_id, "inactive")
    rest.remove(job_id)
    past = rest.wait_journaled(job_id)
    assert (past["state"], past["flag"]["removed"]) == ("inactive", True)


@pytest.fixture(scope="module")
def waiting(rest: Rest, kubectl: Kubectl, image: str) -> str:
    """A job that runs until it is signalled, and ends with the exit code of its argument."""
    script = "trap 'exit $CORE4_ARG_CODE' USR1; echo begun; sleep 600 & wait"
    container = {"name": "job", "image": image, "command": ["sh", "-c", script]}
    name = "e2e.chains.Waiting"
    kubectl.apply(template(name, runtime="container", pod={"containers": [container]}))
    rest.wait_listed(name)
    return name


def end_by_signal(kubectl: Kubectl, pod: str) -> None:
    """Signal the first process of a pod of `waiting`."""
    phase = ("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.status.phase}")

    def is_sent() -> bool:
        result = kubectl.attempt("exec", pod, "--", "sh", "-c", "kill -USR1 1")
        # The process's end may also end the shell that signals it (137), or the connection to that.
        # Any other failure is that of a busy API server or kubelet.
        return result.returncode in {0, 137} or kubectl(*phase) != "Running"

    polled(is_sent, what=f"{pod} is signalled", seconds=120)


@pytest.mark.parametrize("remover", [by_rest, by_kubectl])
def test_a_running_job_is_removed_when_its_trial_ends(
    rest: Rest, kubectl: Kubectl, waiting: str, remover: Remover
):
    codes = {"complete": 0, "failed": 3, "deferred": 75}
    properties = {"attempts": 3, "error_time": 1, "defer_time": 1, "case": remover.__name__}
    jobs = {state: rest.enqueue(waiting, code=code, **properties) for state, code in codes.items()}
    with ExitStack() as stack:
        streams = [stack.enter_context(rest.follow(job_id)) for job_id in jobs.values()]
        pods = []
        for stream in streams:
            stream.line("begun")
            pods.append(stream.state("running")["locked"]["worker"])
        remover(rest, kubectl, *jobs.values())
        for stream in streams:
            marked = stream.wait(
                lambda frame: frame.event == "state" and frame.data["flag"]["removed"],
                what="it is marked",
            ).data
            assert (marked["state"], marked["flag"]["killed"]) == ("running", False)
        for pod in pods:
            end_by_signal(kubectl, pod)
        for stream in streams:
            stream.to_close()
    for state, job_id in jobs.items():
        # It is not tried again, although attempts are left.
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


def test_one_of_two_racing_requests_wins_each_time(rest: Rest, parked: str):
    def request(body: dict[str, Any]) -> requests.Response:
        return rest.call("POST", "job", json=body)

    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            one: dict[str, Any] = {"round": number, "deep": {"a": 1, "b": [2]}}
            # The same args in another order, and with other properties.
            other = {"deep": {"b": [2.0], "a": 1}, "priority": 5, "round": number}
            bodies = [{"qual_name": parked, "args": args, "follow": False} for args in (one, other)]
            answers = list(pool.map(request, bodies))
            assert sorted(answer.status_code for answer in answers) == [200, 400]
            lost = next(answer for answer in answers if answer.status_code == 400)
            assert lost.json()["error"].startswith(f"job [{parked}] exists with args ")
    assert len(rest.queue()) == 10


def test_args_with_an_equal_value_make_a_duplicate(rest: Rest, parked: str):
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
    # A killed job is still in the queue; a removed one is not.
    rest.kill(nothing)
    rest.wait_state(nothing, "killed")
    refused()
    rest.remove(nothing)
    assert rest.enqueue(parked) != nothing


def test_the_younger_one_of_equal_corejobs_by_kubectl_is_refused(
    rest: Rest, kubectl: Kubectl, parked: str
):
    args = {"twin": True}
    first = rest.enqueue(parked, **args)
    # Creation times are exact to a second, so wait until the older one is known to be in the queue.
    rest.wait(first, lambda row: row["reason"] == "Unschedulable", what="is let in")
    kubectl.apply(corejob("younger", qualName=parked, args=args, priority=2))
    seen = corejobs.wait_state(kubectl, "younger", "error")
    assert seen["reason"] == "Duplicate"
    assert f"job [{parked}] exists with args" in seen["message"]
    assert first in seen["message"]
    assert corejobs.wait_event(kubectl, "younger", "Duplicate", "error")["type"] == "Warning"
    # It is past at once, and can't be made to run.
    rest.wait_known(seen["id"])
    past = rest.wait_journaled(seen["id"])
    assert (past["state"], past["reason"], past["trial"]) == ("error", "Duplicate", 0)
    assert past["last_error"]["exception"] == seen["message"]
    rest.refused(404, "PUT", f"job/restart/{seen['id']}")
    assert [row["_id"] for row in rest.queue()] == [first]


def test_one_of_many_equal_corejobs_at_once_is_admitted(rest: Rest, kubectl: Kubectl, parked: str):
    names = [f"twin-{number}" for number in range(5)]
    kubectl.apply(*(corejob(name, qualName=parked, args={"many": 1}) for name in names))
    wanted = {"qual_name": parked, "args.many": 1}
    # The journal keeps the jobs: their CoreJobs may already be gone.
    past = until(
        lambda: rest.data("GET", "job/journal", filter=wanted),
        lambda rows: len(rows) >= len(names) - 1,
        what="four of five are past",
    )
    assert [row["reason"] for row in past] == ["Duplicate"] * 4
    # The API learns of the CoreJobs by a watch, which may be behind the journal.
    (left,) = until(rest.queue, lambda rows: len(rows) == 1, what="one of five is left")
    rest.wait(left["_id"], lambda row: row["reason"] == "Unschedulable", what="is let in")
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
    # Another key is another request, so this is a duplicate.
    assert enqueue({"Idempotency-Key": uuid.uuid4().hex}, keyed=1).status_code == 400
    # Keys are per user.
    with release.rest(CLERK, CLERK) as clerk:
        args = {"sleep": 600, "worker": "no-such-node"}
        body = {"qual_name": DUMMY, "args": args, "follow": False}
        answer = clerk.call("POST", "job", json=body, headers=key)
        assert answer.status_code == 200
        assert answer.json()["data"] != job_id
    # The key stands for the job, in whatever state that is.
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
# The operator writes the effective `max_parallel` where the job does not set it.
DEFAULTS = {prop.rest: prop.default for prop in TABLE} | {"max_parallel": 15}


def refusals(kubectl: Kubectl, documents: list[dict[str, Any]]) -> list[str]:
    """Return the API server's responses to some documents, all of which it must refuse."""
    whole = {"apiVersion": "v1", "kind": "List", "items": documents}
    # kubectl itself would list the errors of all, but not which document has which.
    said = kubectl.refused("create", "--validate=false", "-f", "-", stdin=json.dumps(whole))
    _, *parts = re.split(r'"([^"]+)" is invalid: ', said)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(parts) == 2 * len(found), said
    return [found[document["metadata"]["name"]] for document in documents]


def test_the_table_has_all_properties():
    assert set(GOOD) == set(BAD) == set(FIELD)


@pytest.mark.parametrize("name", sorted(FIELD))
def test_good_values_of_a_property_are_taken(rest: Rest, kubectl: Kubectl, parked: str, name):
    by_hand = {f"{name.replace('_', '-')}-{place}": value for place, value in enumerate(GOOD[name])}
    made: dict[str, Any] = {}
    for value in GOOD[name]:
        job_id = rest.enqueue(parked, **{name: value, "case": f"{name} {value}"})
        made[job_id] = value
        document = rest.detail(job_id)
        assert document[name] == value
        assert document["args"] == {"case": f"{name} {value}"}
    kubectl.apply(
        *(
            corejob(own, qualName=parked, args={"hand": own}, **{FIELD[name]: value})
            for own, value in by_hand.items()
        )
    )
    for own in by_hand:
        corejobs.wait_state(kubectl, own, "pending")
    resources = {item["metadata"]["name"]: item for item in kubectl.items("corejobs")}
    for own, value in (made | by_hand).items():
        assert resources[own]["spec"][FIELD[name]] == value
    for own, value in by_hand.items():
        assert rest.wait_known(resources[own]["status"]["id"])[name] == value
    # Null counts as missing.
    job_id = rest.enqueue(parked, **{name: None, "case": "null"})
    rest.wait(job_id, lambda row: row[name] == DEFAULTS[name], what=f"has the default of {name}")


@pytest.mark.parametrize("name", sorted(FIELD))
def test_bad_values_of_a_property_are_refused(rest: Rest, kubectl: Kubectl, parked: str, name):
    for value in BAD[name]:
        body = {"qual_name": parked, "args": {name: value}, "follow": False}
        assert f"property [{name}] expected" in rest.refused(400, "POST", "job", json=body)
    documents = [
        corejob(f"refused-{place}", qualName=parked, **{FIELD[name]: value})
        for place, value in enumerate(BAD[name])
    ]
    for words in refusals(kubectl, documents):
        assert f"spec.{FIELD[name]}" in words
    assert rest.queue() == []
    made = {item["metadata"]["name"] for item in kubectl.items("corejobs")}
    assert not [own for own in made if own.startswith("refused")]


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
    # Properties of the enqueue take precedence.
    last = {rest_name: values[-1] for rest_name, values in GOOD.items()}
    document = rest.detail(rest.enqueue(name, **last, case="own"))
    assert {rest_name: document[rest_name] for rest_name in GOOD} == last
    bad = [(rest_name, value) for rest_name, values in BAD.items() for value in values]
    documents = [
        template(f"e2e.chains.Bad{place}", properties={FIELD[rest_name]: value})
        for place, (rest_name, value) in enumerate(bad)
    ]
    for (rest_name, value), words in zip(bad, refusals(kubectl, documents), strict=True):
        assert f"spec.properties.{FIELD[rest_name]}" in words, (rest_name, value)
