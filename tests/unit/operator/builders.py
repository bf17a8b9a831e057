"""Situations for `decide`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.unit.domain.builders import (
    ID,
    NOW,
    at_text,
    batch_job,
    condition,
    corejob,
    ended,
    pod,
    started,
)

from corejob.children import JobChild, PodChild
from corejob.model import CoreJob
from corejob.state import State
from corejob_operator.admission import Blocked
from corejob_operator.decide import Decision, Situation, Turn, decide
from corejob_operator.settings import OperatorSettings

SETTINGS = OperatorSettings(namespace="jobs", job_image="core4:test")
ADMITTED = Turn(admitted=True)
BUSY = Turn(admitted=False, blocked=Blocked("max_parallel", running=15, allowed=15, ahead=3))
DELETED = {"deletionTimestamp": at_text(-1)}
FAILED = [condition("Failed", "BackoffLimitExceeded", "too many")]
DISRUPTED = [condition("DisruptionTarget", "EvictionByEvictionAPI", "drained")]


def decided(
    job: CoreJob,
    *,
    jobs: Sequence[JobChild] = (),
    pods: Sequence[PodChild] = (),
    turn: Turn = ADMITTED,
    has_template: bool = True,
    now: datetime = NOW,
    created_trial: int | None = None,
    gone_pod: PodChild | None = None,
    starting: int = 0,
    arrivals: int = 0,
    **settings: Any,
) -> Decision:
    """Return the decision about a job; by default it is admitted."""
    situation = Situation(
        job=job,
        jobs=jobs,
        pods=pods,
        now=now,
        settings=replace(SETTINGS, **settings),
        turn=turn,
        has_template=has_template,
        created_trial=created_trial,
        gone_pod=gone_pod,
        starting=starting,
        arrivals=arrivals,
    )
    return decide(situation)


def waits(state: State = State.PENDING, **more: Any) -> CoreJob:
    """Return a job whose status says that it waits in line."""
    status: dict[str, Any] = {
        "state": str(state),
        "trial": 0 if state is State.PENDING else 1,
        "reason": "Queued",
    }
    status |= more.pop("status", {})
    return corejob(status=status, **more)


def child(number: int = 1, **more: Any) -> JobChild:
    """Return the Job of a trial."""
    return batch_job(number=number, **more)


def its_pod(number: int = 1, **more: Any) -> PodChild:
    """Return the pod of a trial."""
    return replace(pod(name=f"{ID}-{number}-x7k2p", **more), trial=number)


def runs(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a trial whose container runs, as arguments of `decided`."""
    return {"jobs": [child(number)], "pods": [its_pod(number, state=started(), **more)]}


def starts(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a trial whose container has not started."""
    return {"jobs": [child(number)], "pods": [its_pod(number, phase="Pending", **more)]}


def has_ended(number: int = 1, code: int = 0, **more: Any) -> dict[str, Any]:
    """Return a trial whose container has ended."""
    phase = "Succeeded" if code == 0 else "Failed"
    return {
        "jobs": [child(number)],
        "pods": [its_pod(number, state=ended(code, **more), phase=phase)],
    }
