"""The operator's caches: their indexes, and the CoreJobs that each change requeues."""

from typing import Any

import pytest
from tests.unit.domain.builders import corejob_body

from corejob import names
from corejob.identity import identity
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_operator.caches import Caches

CHILD = "6743cccccccccccccccccccc"
NOW = "2026-11-24T12:00:00Z"


class WatchedCaches:
    """Caches, the resource versions of their changes, and the CoreJobs to reconcile."""

    def __init__(self) -> None:
        self.caches = Caches()
        self.changed: list[str] = []
        self.caches.on_change(self.changed.append)
        self.version = 100

    def take_changed(self) -> list[str]:
        changed, self.changed[:] = list(self.changed), []
        return changed

    def versioned(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        return {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}

    def corejob(self, name: str, **more: Any) -> dict[str, Any]:
        meta = {"uid": f"uid-{name}", **more.pop("metadata", {})}
        body = self.versioned(corejob_body(name=name, metadata=meta, **more))
        self.caches.corejobs.put(body)
        return body

    def child(self, kind: Any, name: str, corejob: str, number: int = 1) -> dict[str, Any]:
        labels = {names.LABEL_COREJOB: corejob, names.LABEL_TRIAL: str(number)}
        meta = {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "creationTimestamp": "2026-11-24T11:00:00Z",
        }
        body = self.versioned({"metadata": meta, "spec": {}, "status": {}})
        self.caches.cache(kind).put(body)
        return body

    def template(self, qual_name: str, **spec: Any) -> dict[str, Any]:
        meta = {"name": qual_name.lower()}
        body = self.versioned({"metadata": meta, "spec": {"qualName": qual_name, **spec}})
        self.caches.templates.put(body)
        return body

    def drop(self, kind: Any, body: dict[str, Any]) -> None:
        self.caches.cache(kind).drop(self.versioned(body))


@pytest.fixture
def watched() -> WatchedCaches:
    return WatchedCaches()


# --- children -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [JOBS, PODS])
def test_a_change_that_no_decision_depends_on_requeues_nothing(
    watched: WatchedCaches, kind: Any
) -> None:
    body = watched.child(kind, "a-1", "a")
    assert watched.take_changed() == ["a"]
    cache = watched.caches.cache(kind)
    # The Job controller removes its finalizer of a pod, and counts a Job's pods.
    meta = {**body["metadata"], "finalizers": ["batch.kubernetes.io/job-tracking"]}
    cache.put(watched.versioned({**body, "metadata": meta}))
    cache.put(watched.versioned({**body, "status": {"ready": 1}}))
    assert watched.take_changed() == []
    cache.put(watched.versioned({**body, "metadata": {**meta, "deletionTimestamp": NOW}}))
    assert watched.take_changed() == ["a"]
    watched.drop(kind, body)
    assert watched.take_changed() == ["a"]


def _ended_pod(watched: WatchedCaches, number: int = 1) -> dict[str, Any]:
    """Return the last JSON of a pod whose container has ended, as its deletion shows it."""
    body = watched.child(PODS, f"a-{number}-x", "a", number)
    times = {"startedAt": "2026-11-24T11:00:01Z", "finishedAt": "2026-11-24T11:00:02Z"}
    container = {"name": "job", "state": {"terminated": {"exitCode": 3, **times}}}
    return {**body, "status": {"phase": "Failed", "containerStatuses": [container]}}


def test_the_last_state_of_a_pod_that_is_gone_stays_until_the_outcome_is_written(
    watched: WatchedCaches,
) -> None:
    watched.corejob("a")
    watched.drop(PODS, _ended_pod(watched))

    gone = watched.caches.gone_pod_of("a")
    assert gone is not None
    assert (gone.name, gone.trial, gone.exit_code) == ("a-1-x", 1, 3)
    watched.corejob("a", status={"state": "running", "trial": 1})
    assert watched.caches.gone_pod_of("a") == gone
    watched.corejob("a", status={"state": "failed", "trial": 2})
    assert watched.caches.gone_pod_of("a") is None


def test_a_pod_that_is_gone_is_forgotten_with_its_corejob_and_at_its_end(
    watched: WatchedCaches,
) -> None:
    body = watched.corejob("a")
    watched.drop(PODS, _ended_pod(watched))
    watched.drop(COREJOBS, body)
    assert watched.caches.gone_pod_of("a") is None

    watched.drop(PODS, _ended_pod(watched))  # its CoreJob is gone already
    assert watched.caches.gone_pod_of("a") is None

    watched.corejob("a")
    watched.drop(PODS, _ended_pod(watched))
    watched.corejob("a", status={"state": "killed", "trial": 1})
    assert watched.caches.gone_pod_of("a") is None


def test_a_pod_that_is_gone_and_never_started_is_not_kept(watched: WatchedCaches) -> None:
    watched.corejob("a")
    watched.drop(PODS, watched.child(PODS, "a-1-x", "a"))

    assert watched.caches.gone_pod_of("a") is None


def test_jobs_and_pods_are_found_by_their_corejob(watched: WatchedCaches) -> None:
    watched.child(JOBS, "a-1", "a")
    job = watched.child(JOBS, "a-2", "a", 2)
    pod = watched.child(PODS, "a-1-x", "a")
    watched.child(JOBS, "b-1", "b")

    assert sorted(child.name for child in watched.caches.jobs_of("a")) == ["a-1", "a-2"]
    assert [child.name for child in watched.caches.pods_of("a")] == ["a-1-x"]
    assert [child.trial for child in watched.caches.jobs_of("b")] == [1]
    assert list(watched.caches.pods_of("b")) == []
    assert watched.take_changed() == ["a", "a", "a", "b"]

    watched.drop(JOBS, job)
    watched.drop(PODS, pod)
    assert [child.name for child in watched.caches.jobs_of("a")] == ["a-1"]
    assert list(watched.caches.pods_of("a")) == []
    assert watched.take_changed() == ["a", "a"]


def test_an_older_version_changes_nothing(watched: WatchedCaches) -> None:
    old = watched.child(JOBS, "a-1", "a")
    watched.drop(JOBS, old)
    watched.take_changed()
    watched.caches.jobs.put(old)

    assert list(watched.caches.jobs_of("a")) == []
    assert watched.take_changed() == []


def test_the_restart_waits_for_the_pod_of_the_job_before(watched: WatchedCaches) -> None:
    watched.corejob("a", status={"state": "killed", "childId": CHILD})
    pod = watched.child(PODS, "a-1-x", "a")
    watched.take_changed()
    watched.drop(PODS, pod)

    assert watched.take_changed() == ["a", CHILD]


def test_a_change_of_the_parent_requeues_its_restart(watched: WatchedCaches) -> None:
    body = watched.corejob("a", status={"state": "running"}, childId=CHILD)
    assert watched.take_changed() == ["a", CHILD]
    watched.drop(COREJOBS, body)
    assert watched.take_changed() == ["a", CHILD]


# --- templates ------------------------------------------------------------------------------


def test_a_template_is_found_by_its_qual_name(watched: WatchedCaches) -> None:
    body = watched.template("a.Job", tag=["x"])
    assert watched.caches.template("a.Job") == {"qualName": "a.Job", "tag": ["x"]}
    assert watched.caches.template("b.Job") is None

    watched.template("a.Job", tag=["y"])
    assert watched.caches.template("a.Job") == {"qualName": "a.Job", "tag": ["y"]}
    watched.drop(TEMPLATES, body)
    assert watched.caches.template("a.Job") is None


def test_a_new_template_requeues_the_jobs_that_wait_for_it(watched: WatchedCaches) -> None:
    watched.corejob("a")
    watched.corejob("b", args={"n": 1})
    other = {**corejob_body(name="c"), "spec": {"qualName": "b.Job"}}
    watched.caches.corejobs.put(watched.versioned(other))
    watched.take_changed()

    watched.template("a.Job")
    assert sorted(watched.take_changed()) == ["a", "b"]
    watched.template("a.Job", tag=["x"])
    assert watched.take_changed() == []


# --- duplicates ----------------------------------------------------------------------------------


def test_duplicates_have_the_same_name_and_args(watched: WatchedCaches) -> None:
    watched.corejob("a", args={"x": 1, "y": 2})
    watched.corejob("b", args={"y": 2, "x": 1.0})
    watched.corejob("c", args={"x": "1", "y": 2})
    watched.corejob("d")

    assert [body["metadata"]["name"] for body in watched.caches.duplicates_of("a")] == ["b"]
    assert list(watched.caches.duplicates_of("c")) == []
    assert list(watched.caches.duplicates_of("unknown")) == []


def test_no_args_is_a_value_too(watched: WatchedCaches) -> None:
    watched.corejob("a")
    watched.corejob("b", args={})

    assert [body["metadata"]["name"] for body in watched.caches.duplicates_of("a")] == ["b"]


def test_a_deleted_corejob_is_no_duplicate(watched: WatchedCaches) -> None:
    watched.corejob("a")
    body = watched.corejob("b")
    watched.drop(COREJOBS, body)

    assert list(watched.caches.duplicates_of("a")) == []


def test_a_new_corejob_of_the_same_name_is_another(watched: WatchedCaches) -> None:
    """After an interruption the watch misses the deletion, and only lists the new one."""
    watched.corejob("a", args={"n": 1})
    watched.corejob("other", args={"n": 2})
    watched.corejob("a", args={"n": 2}, metadata={"uid": "another"})

    assert [body["metadata"]["name"] for body in watched.caches.duplicates_of("a")] == ["other"]
    assert watched.caches.same_jobs(identity("a.Job", {"n": 1}), but="") == []


def test_the_same_jobs(watched: WatchedCaches) -> None:
    key = identity("a.Job", {})
    assert watched.caches.same_jobs(key, but="x") == []

    watched.corejob("a", status={"state": "running"})
    assert [job.in_queue for job in watched.caches.same_jobs(key, but="x")] == [True]
    assert watched.caches.same_jobs(key, but="a") == []

    watched.corejob("a", status={"state": "complete"})
    assert [job.in_queue for job in watched.caches.same_jobs(key, but="x")] == [False]
