"""Ends of trials, for tests of the observation."""

import json
from typing import Any

from tests.unit.domain.builders import (
    NOW,
    batch_job,
    condition,
)

from corejob.children import JobChild, PodChild
from corejob.observation import Observation, Phase
from corejob.trial import observe

TOLD = {"exception": "ValueError('no')", "timestamp": "2026-11-24T11:59:57", "traceback": ["a\n"]}
DISRUPTED = condition("DisruptionTarget", "EvictionByEvictionAPI", "eviction was asked for")
KILLED = "JobKilledByWorker"


def told(state: str, **last: Any) -> str:
    return json.dumps({"state": state, "lastError": {**TOLD, **last}})


def death(one: PodChild, job: JobChild | None = None) -> Observation:
    seen = observe(job or batch_job(), [one], now=NOW)
    assert seen.phase is Phase.ENDED
    return seen
