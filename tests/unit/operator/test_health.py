"""Liveness and readiness of the operator."""

import pytest
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.killable import Killable

from corejob_kube.client import Kube
from corejob_operator.health import OperatorHealth
from corejob_operator.process import Operator
from corejob_operator.settings import OperatorSettings
from corejob_process.supervision import TaskEndedError

INTERVAL = 60.0


class Watched:
    """An operator that does not run, its health, and a clock that a test moves."""

    def __init__(self, kube: Kube) -> None:
        self.now = 1_000.0
        self.supervision = Killable()
        settings = OperatorSettings(NAMESPACE, job_image="x")
        self.operator = Operator(kube, settings, instance="one", supervision=self.supervision)
        self.operator.last_contact = self.now
        self.health = OperatorHealth(self.operator, INTERVAL, monotonic=lambda: self.now)


@pytest.fixture
async def watched(kube: Kube) -> Watched:
    return Watched(kube)


async def test_it_is_alive_at_once_but_ready_only_after_the_first_list(watched: Watched) -> None:
    assert watched.health.liveness_problem() is None
    assert await watched.health.readiness_problem() == "waiting for Kubernetes"

    watched.operator.ready = True
    assert await watched.health.readiness_problem() is None


async def test_a_stale_watch_restarts_the_process(watched: Watched) -> None:
    watched.operator.ready = True
    watched.operator.resync.stale = frozenset({"pods", "jobs"})

    assert watched.health.liveness_problem() == "stale watches: jobs, pods"
    assert await watched.health.readiness_problem() is None


async def test_five_resyncs_without_an_answer_restart_the_process(watched: Watched) -> None:
    watched.now += 5 * INTERVAL
    assert watched.health.liveness_problem() is None

    watched.now += 1.0
    assert watched.health.liveness_problem() == "no answer from Kubernetes for long"

    watched.operator.last_contact = watched.now
    assert watched.health.liveness_problem() is None


async def test_a_task_that_has_ended_is_named_by_both(watched: Watched) -> None:
    async def end() -> None:
        raise ValueError("x")

    async def body() -> None:
        await watched.supervision.start("lead", end)

    with pytest.raises(TaskEndedError):
        await watched.supervision.guard(body())
    problem = "the task [lead] has ended: ValueError: x"
    assert watched.health.liveness_problem() == problem
    assert await watched.health.readiness_problem() == problem


async def test_the_registry_has_the_metrics_of_the_operator(watched: Watched) -> None:
    watched.operator.metrics.trials.inc()

    assert watched.health.registry().get_sample_value("core4_operator_trials_total") == 1
