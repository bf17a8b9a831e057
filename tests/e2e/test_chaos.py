"""Kill, restart, remove and enqueue at random moments, while the operator dies again and again.

What happens is drawn with a fixed seed; what it meets depends on the machine's speed. So nothing is
said about which state a job ends in, but that all agree on it and that it came about by the moves
that there are. The operator's pod is deleted by force: it is gone from Kubernetes at once, and
its successor may start before the process has ended.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from tests.support import corejobs
from tests.support.jobs import BURST, FAILING, SLEEPY
from tests.support.release import Release
from tests.support.rest import FINAL, Rest
from tests.support.waiting import until
from tests.support.watch import Watch, watched

from corejob.state import TRANSITIONS, State

pytestmark = pytest.mark.cluster

SEED = 4
JOBS = 30
CRASHES = 10
OPERATIONS = 200
CATCH_UP_SECONDS = 5
LONGEST_PAUSE = 0.7
START = "start execution"
# Whose pods run at once, of each kind of job.
PARALLEL = {"max_parallel": 3}
# What a steered job may answer: done; it is not in the queue any more; it can't be restarted now.
ANSWERS = {"kill": {200, 404}, "remove": {200, 404}, "restart": {200, 404, 409}}


@pytest.fixture(scope="module")
def service(own_release: Release) -> Iterator[Rest]:
    with own_release.rest() as client:
        yield client


@pytest.fixture(autouse=True)
def emptied() -> None:
    """The release goes as a whole."""


def orders() -> list[tuple[str, dict[str, Any]]]:
    """The jobs: short ones, each with arguments of its own."""
    third = JOBS // 3
    sleepy = [(SLEEPY, {"sleep": 1 + number / 10}) for number in range(third)]
    burst = [(BURST, {"count": 20 + number}) for number in range(third)]
    retries = {"attempts": 2, "error_time": 2}
    failing = [(FAILING, {"message": f"no. {number}", **retries}) for number in range(third)]
    return [(name, args | PARALLEL) for name, args in (*sleepy, *burst, *failing)]


@dataclass
class Chaos:
    """Does things at random, and notes what came of them.

    Attributes:
        ids: all jobs that there ever were, in their order.
        done: the answers, by operation and status.
    """

    rest: Rest
    dice: random.Random
    ids: list[str] = field(default_factory=list)
    done: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def fill(self) -> None:
        """Enqueue all jobs once."""
        for name, args in orders():
            self.ids.append(self.rest.enqueue(name, **args))

    def once(self) -> None:
        """One operation, after a moment."""
        time.sleep(self.dice.uniform(0, LONGEST_PAUSE))
        operation = self.dice.choice(["enqueue", "kill", "restart", "remove"])
        if operation == "enqueue":
            name, args = self.dice.choice(orders())
            body = {"qual_name": name, "args": args, "follow": False}
            answer = self.rest.call("POST", "job", json=body)
            allowed = {200, 400}
        else:
            # Mostly one of those that there is something to do for.
            job_id = self.dice.choice(self.ids[-JOBS:])
            answer = self.rest.call("PUT", f"job/{operation}/{job_id}", json={"follow": False})
            allowed = ANSWERS[operation]
        assert answer.status_code in allowed, f"{operation}: {answer.text}"
        self.done[operation, answer.status_code] += 1
        made = answer.json().get("data")
        if isinstance(made, str) and made not in self.ids:
            self.ids.append(made)


def crash(release: Release) -> str:
    """Delete the operator's pod by force; returns its name."""
    old = release.pod("operator")
    release.kubectl("delete", "pod", old, "--grace-period=0", "--force")
    return old


def ready_since(release: Release, old: str) -> datetime:
    """Wait until there is another operator, and it is ready; returns since when it is."""

    def look() -> str:
        name = release.pod("operator")
        assert name != old, "there is no other yet"
        conditions = release.kubectl.json("get", "pod", name)["status"]["conditions"]
        ready = next(item for item in conditions if item["type"] == "Ready")
        return str(ready["lastTransitionTime"]) if ready["status"] == "True" else ""

    found = until(
        look, what="the operator is ready", seconds=90, ignoring=(AssertionError, StopIteration)
    )
    return datetime.fromisoformat(found)


def trial_made_at(release: Release, job_id: str) -> datetime:
    """Wait until the Job of a job's first trial is there; returns when it was made."""

    def look() -> str:
        jobs = release.kubectl.items("jobs", "-l", f"core4.io/corejob={job_id}")
        return str(jobs[0]["metadata"]["creationTimestamp"]) if jobs else ""

    return datetime.fromisoformat(until(look, what=f"the Job of {job_id} is there"))


def storm(release: Release, chaos: Chaos) -> list[float]:
    """All operations and all crashes; returns how long each new operator took to catch up."""
    delays = []
    share = OPERATIONS // CRASHES
    for number in range(CRASHES):
        moment = chaos.dice.randrange(share // 2)
        for _ in range(moment):
            chaos.once()
        old = crash(release)
        # Outside the limits: it starts as soon as anything does, and ends at once.
        probe = chaos.rest.enqueue(BURST, count=1, probe_number=number, force=True)
        for _ in range(share - moment):
            chaos.once()
        since = ready_since(release, old)
        delays.append((trial_made_at(release, probe) - since).total_seconds())
    return delays
