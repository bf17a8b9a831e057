"""Kill, restart, remove and enqueue at random moments, while the operator dies again and again.

The actions are drawn with a fixed seed, which is in the test's name, or with the seeds of `make
chaos`. The state that an action meets depends on the machine's speed, so nothing is asserted about
which state a job ends in, but that all sources agree on it and that all transitions were valid. The
operator's process is killed with SIGKILL, and its pod deleted by force.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from tests.cluster.provider import Provider
from tests.e2e.values import VALUES
from tests.support import corejobs, hostprocess
from tests.support.jobs import BURST, FAILING, SLEEPY
from tests.support.kubectl import polled
from tests.support.release import Later, Release, released
from tests.support.rest import FINAL, Rest
from tests.support.waiting import until
from tests.support.watch import Watch, watched

from corejob.model import parse
from corejob.state import TRANSITIONS, WAITING, State

pytestmark = [pytest.mark.cluster, pytest.mark.host]

# The first seed and the number of seeds; `make chaos` sets others.
SEEDS = "4:1"
JOBS = 30
CRASHES = 10
OPERATIONS = 200
# For the start of another operator, while other tests use the same processors.
START_SECONDS = 240
LONGEST_PAUSE = 0.4
START = "start execution"
OPERATOR = "core4-operator"
# Pods that may run at once, of each kind of job.
PARALLEL = {"max_parallel": 3}
# Responses to a command: done; the job has left the queue; it can't be restarted now.
ANSWERS = {"kill": {200, 404}, "remove": {200, 404}, "restart": {200, 404, 409}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, _, count = (metafunc.config.getoption("--chaos-seeds", None) or SEEDS).partition(":")
        seeds = range(int(first), int(first) + int(count or 1))
        metafunc.parametrize("seed", seeds, ids=lambda seed: f"seed={seed}")


@pytest.fixture
def empty_release(provider: Provider, image: str, later: Later) -> Iterator[Release]:
    """A release for one seed, without anything that another seed left."""
    with released(provider, image, VALUES, later=later) as installed:
        yield installed


@pytest.fixture
def service(empty_release: Release) -> Iterator[Rest]:
    with empty_release.rest() as client:
        yield client


@pytest.fixture(autouse=True)
def emptied() -> None:
    """Override the fixture: the whole release is deleted."""


def orders() -> list[tuple[str, dict[str, Any]]]:
    """Return the jobs: short ones, each with unique arguments."""
    third = JOBS // 3
    sleepy = [(SLEEPY, {"sleep": 1 + number / 10}) for number in range(third)]
    burst = [(BURST, {"count": 20 + number}) for number in range(third)]
    retries = {"attempts": 2, "error_time": 2}
    failing = [(FAILING, {"message": f"no. {number}", **retries}) for number in range(third)]
    jobs: list[tuple[str, dict[str, Any]]] = [*sleepy, *burst, *failing]
    return [(name, args | PARALLEL) for name, args in jobs]


@dataclass
class Chaos:
    """Performs random actions, and records their results.

    Attributes:
        ids: Ids of all jobs ever made, in order.
        probes: Ids of the jobs of which each shows that another operator has taken over.
        restarted: Ids of the jobs whose restart was accepted as one of the same job.
        done: Number of responses, by operation and status.
    """

    rest: Rest
    dice: random.Random
    ids: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    restarted: set[str] = field(default_factory=set)
    done: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def fill(self) -> None:
        """Enqueue all jobs once."""
        for name, args in orders():
            self.ids.append(self.rest.enqueue(name, **args))

    def once(self) -> None:
        """Perform one operation after a random pause."""
        time.sleep(self.dice.uniform(0, LONGEST_PAUSE))
        operation = self.dice.choice(["enqueue", "kill", "restart", "remove"])
        if operation == "enqueue":
            name, args = self.dice.choice(orders())
            body = {"qual_name": name, "args": args, "follow": False}
            answer = self.rest.call("POST", "job", json=body)
            allowed = {200, 400}
        else:
            job_id = self.victim()
            answer = self.rest.call("PUT", f"job/{operation}/{job_id}", json={"follow": False})
            allowed = ANSWERS[operation]
            if operation == "restart" and answer.json().get("data") == job_id:
                self.restarted.add(job_id)
        assert answer.status_code in allowed, f"{operation}: {answer.text}"
        self.done[operation, answer.status_code] += 1
        made = answer.json().get("data")
        if isinstance(made, str) and made not in self.ids:
            self.ids.append(made)

    def victim(self) -> str:
        """Return a job of the queue, and now and then any job ever made."""
        queue = [row["_id"] for row in self.rest.queue() if row["_id"] in self.ids]
        chosen: str = self.dice.choice(queue if queue and self.dice.random() < 0.9 else self.ids)
        return chosen


def add_late_restarts(chaos: Chaos, corejob_watch: Watch) -> None:
    """Add the jobs that restart another one, though the answer to the restart named that one.

    The API accepts a restart of a job that waits for its next trial. If an operator that has not
    read the restart yet writes that this trial has failed, a stopped job is to be restarted.
    """
    made = {row[0] for row in corejob_watch.rows()} - {*chaos.ids, *chaos.probes}
    late = {job_id: chaos.rest.detail(job_id)["enqueued"]["parent_id"] for job_id in made}
    assert set(late.values()) <= chaos.restarted, late
    assert len(set(late.values())) == len(late), late
    chaos.ids += late


def crash(release: Release) -> None:
    """Kill the operator's process with SIGKILL, and delete its pod by force."""

    def look() -> tuple[str, str]:
        name = release.pod("operator")
        return name, release.kubectl.json("get", "pod", name)["metadata"]["uid"]

    # It may act before the kubelet has told that it runs.
    old, uid = polled(
        look, what="an operator runs", seconds=START_SECONDS, ignoring=(AssertionError,)
    )
    hostprocess.kill(uid, OPERATOR)
    # A new pod starts at once; the kubelet would delay restarts of the container by a back-off.
    argv = ("delete", "pod", old, "--grace-period=0", "--force", "--ignore-not-found")
    polled(lambda: release.kubectl(*argv), lambda _: True, what=f"{old} is deleted")


def wait_trial(job_watch: Watch, job_id: str) -> None:
    """Wait for the Job of a job's first trial, maybe gone again."""
    until(
        lambda: f"{job_id}-1" in {row[0] for row in job_watch.rows()},
        what=f"the Job of {job_id} was made",
        seconds=START_SECONDS,
    )


def storm(release: Release, chaos: Chaos, job_watch: Watch) -> None:
    """Perform all operations and crashes; after each crash another operator must take over."""
    share = OPERATIONS // CRASHES
    for number in range(CRASHES):
        moment = chaos.dice.randrange(share // 2)
        for _ in range(moment):
            chaos.once()
        crash(release)
        # Outside the limits: it starts as soon as any job can, and ends at once. Only another
        # operator can start it.
        probe = chaos.rest.enqueue(BURST, count=1 + number, force=True)
        chaos.probes.append(probe)
        for _ in range(share - moment):
            chaos.once()
        wait_trial(job_watch, probe)


@dataclass(frozen=True, slots=True)
class Lives:
    """The history of the CoreJobs, as seen by a watch.

    Attributes:
        states: States of each in order, without repetitions.
        carried: Trials of the jobs that each restarts.
        starts: Names of the batch/v1 Jobs that existed, with the ids of the objects.
    """

    states: dict[str, list[State]]
    carried: dict[str, int]
    starts: dict[str, set[str]]


def lives(corejob_watch: Watch, job_watch: Watch) -> Lives:
    """Build the history from the watches."""
    states: dict[str, list[State]] = defaultdict(list)
    carried: dict[str, int] = {}
    for name, state, told, found in corejob_watch.rows():
        carried[name] = max(int(told or 0), int(found or 0))
        if state and (not states[name] or states[name][-1] != state):
            states[name].append(State(state))
    starts: dict[str, set[str]] = defaultdict(set)
    for name, uid in job_watch.rows():
        starts[name].add(uid)
    return Lives(dict(states), carried, dict(starts))


def behind(seen: Lives, documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the jobs whose last watched state is not that of the document."""
    return {
        job_id: (seen.states.get(job_id), document)
        for job_id, document in documents.items()
        if seen.states.get(job_id, [None])[-1] != document["state"]
    }


@pytest.mark.timeout(1800)
def test_chaos(empty_release: Release, service: Rest, seed: int):
    kubectl = empty_release.kubectl
    chaos = Chaos(service, random.Random(seed))
    fields = (".metadata.name", ".status.state", ".spec.carriedTrials", ".status.carriedTrials")
    with (
        watched(kubectl, "corejobs", *fields) as corejob_watch,
        watched(kubectl, "jobs", ".metadata.name", ".metadata.uid") as job_watch,
    ):
        chaos.fill()
        # The watch sees everything from here on; it does not repeat earlier changes.
        until(
            lambda: set(chaos.ids) - {row[0] for row in corejob_watch.rows()},
            lambda unseen: not unseen,
            what="the watch has begun",
        )
        until(job_watch.rows, what="the watch of Jobs has begun")
        storm(empty_release, chaos, job_watch)
        until(
            service.queue,
            lambda rows: all(row["state"] in FINAL for row in rows),
            what="nothing waits or runs any more",
            seconds=600,
            every=1,
        )
        add_late_restarts(chaos, corejob_watch)
        documents = settled(empty_release, service, chaos)
        until(
            lambda: behind(lives(corejob_watch, job_watch), documents),
            lambda found: not found,
            what="the watch has come to the states that the documents have",
        )
        seen = lives(corejob_watch, job_watch)
    assert sum(chaos.done.values()) == OPERATIONS
    # The random actions met all cases.
    assert {operation for operation, status in chaos.done if status == 200} == {*ANSWERS, "enqueue"}
    # Each accepted restart made exactly one job, and nothing else made any.
    assert set(seen.states) == {*chaos.ids, *chaos.probes}
    check_moves(documents, seen)
    check_starts(service, documents, seen)
    check_journal(empty_release, service, documents)


def settled(release: Release, rest: Rest, chaos: Chaos) -> dict[str, dict[str, Any]]:
    """Wait until all logs are read and kubectl and REST agree; return the documents."""

    def disagreements() -> dict[str, Any]:
        found = {}
        for resource in release.kubectl.items("corejobs"):
            name = resource["metadata"]["name"]
            differences = corejobs.differences(resource.get("status", {}), rest.detail(name))
            if differences or not parse(resource).log_finalised:
                found[name] = differences
        return found

    # A job that is marked killed counts as killed before its pod is gone.
    polled(
        disagreements,
        lambda found: not found,
        what="REST and kubectl agree",
        seconds=300,
        every=1,
    )
    return {job_id: rest.detail(job_id) for job_id in chaos.ids}


def check_moves(documents: dict[str, dict[str, Any]], seen: Lives) -> None:
    """Check that each job reached its state by valid transitions, and may be in it."""
    for job_id, document in documents.items():
        states = seen.states[job_id]
        removed = document["flag"]["removed"]
        for earlier, later in pairwise(states):
            assert State(later) in TRANSITIONS[State(earlier)], f"{job_id}: {states}"
        # Jobs that have not ended were removed while they waited.
        assert document["state"] in FINAL or (removed and document["journal"]), f"{document}"


def check_starts(rest: Rest, documents: dict[str, dict[str, Any]], seen: Lives) -> None:
    """Check that no trial was started twice, and that each that ended by itself was started."""
    for name, uids in seen.starts.items():
        assert len(uids) == 1, f"the Job {name} was made {len(uids)} times"
    for job_id, document in documents.items():
        own = document["trial"] - seen.carried[job_id]
        started = rest.messages(job_id).count(START)
        # A pod can be killed, or its job be removed, before the job's first line; the log of a job
        # that is removed while it starts may be lost with its pod, which is then reported.
        unheard = document["state"] in {"killed", "pending"} or (
            document["flag"]["removed"] and rest.has_gap(job_id)
        )
        # A starting trial of a job that was removed while it waited is stopped. Its pod may be gone
        # before the operator has seen it run, and trials of a job that has left the queue are not
        # counted. The trial counts once its process logs anything, even only the signal to stop.
        at_birth = document["flag"]["removed"] and document["state"] in WAITING
        fits = own - (unheard or at_birth) <= started <= own + at_birth
        assert fits, f"{started} starts in {own} trials of {document}"
        if document["state"] in {"complete", "error"}:
            assert own >= 1, f"no trial of {document}"


def check_journal(release: Release, rest: Rest, documents: dict[str, dict[str, Any]]) -> None:
    """When no CoreJob is left, the journal alone shows the same of each job."""
    rest.empty_queue()
    release.kubectl("delete", "corejobs", "--all", "--timeout=150s", timeout=180)
    assert release.kubectl.items("corejobs") == []
    # Fields that changed when the stopped jobs were removed.
    changed = dict.fromkeys(("age", "journal", "removed_at", "flag", "can", "cannot"))
    for job_id, document in documents.items():
        past = rest.detail(job_id)
        assert past["journal"] is True
        assert past | changed == document | changed
