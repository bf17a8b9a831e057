"""What the operator knows: its indexes, and whom each piece of news concerns."""

from typing import Any

import pytest
from tests.unit.domain.builders import corejob_body

from corejob import names
from corejob.identity import identity
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_operator.caches import World

CHILD = "6743cccccccccccccccccccc"


class Seen:
    """A world, the versions of its news, and whom they made to be looked at."""

    def __init__(self) -> None:
        self.world = World()
        self.looks: list[str] = []
        self.world.on_change(self.looks.append)
        self.version = 100

    def told(self) -> list[str]:
        found, self.looks[:] = list(self.looks), []
        return found

    def versioned(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        return {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}

    def corejob(self, name: str, **more: Any) -> dict[str, Any]:
        meta = {"uid": f"uid-{name}", **more.pop("metadata", {})}
        body = self.versioned(corejob_body(name=name, metadata=meta, **more))
        self.world.corejobs.put(body)
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
        self.world.cache(kind).put(body)
        return body

    def template(self, qual_name: str, **spec: Any) -> dict[str, Any]:
        meta = {"name": qual_name.lower()}
        body = self.versioned({"metadata": meta, "spec": {"qualName": qual_name, **spec}})
        self.world.templates.put(body)
        return body

    def drop(self, kind: Any, body: dict[str, Any]) -> None:
        self.world.cache(kind).drop(self.versioned(body))


@pytest.fixture
def seen() -> Seen:
    return Seen()


# --- children -------------------------------------------------------------------------------


def test_jobs_and_pods_are_found_by_their_corejob(seen: Seen) -> None:
    seen.child(JOBS, "a-1", "a")
    job = seen.child(JOBS, "a-2", "a", 2)
    pod = seen.child(PODS, "a-1-x", "a")
    seen.child(JOBS, "b-1", "b")

    assert sorted(child.name for child in seen.world.jobs_of("a")) == ["a-1", "a-2"]
    assert [child.name for child in seen.world.pods_of("a")] == ["a-1-x"]
    assert [child.trial for child in seen.world.jobs_of("b")] == [1]
    assert list(seen.world.pods_of("b")) == []
    assert seen.told() == ["a", "a", "a", "b"]

    seen.drop(JOBS, job)
    seen.drop(PODS, pod)
    assert [child.name for child in seen.world.jobs_of("a")] == ["a-1"]
    assert list(seen.world.pods_of("a")) == []
    assert seen.told() == ["a", "a"]


def test_old_news_change_nothing(seen: Seen) -> None:
    old = seen.child(JOBS, "a-1", "a")
    seen.drop(JOBS, old)
    seen.told()
    seen.world.jobs.put(old)

    assert list(seen.world.jobs_of("a")) == []
    assert seen.told() == []


def test_the_restart_waits_for_the_pod_of_the_job_before(seen: Seen) -> None:
    seen.corejob("a", status={"state": "killed", "childId": CHILD})
    pod = seen.child(PODS, "a-1-x", "a")
    seen.told()
    seen.drop(PODS, pod)

    assert seen.told() == ["a", CHILD]


def test_the_restart_hears_of_the_job_before(seen: Seen) -> None:
    body = seen.corejob("a", status={"state": "running"}, childId=CHILD)
    assert seen.told() == ["a", CHILD]
    seen.drop(COREJOBS, body)
    assert seen.told() == ["a", CHILD]


# --- templates ------------------------------------------------------------------------------


def test_a_template_is_found_by_its_qual_name(seen: Seen) -> None:
    body = seen.template("a.Job", tag=["x"])
    assert seen.world.template("a.Job") == {"qualName": "a.Job", "tag": ["x"]}
    assert seen.world.template("b.Job") is None

    seen.template("a.Job", tag=["y"])
    assert seen.world.template("a.Job") == {"qualName": "a.Job", "tag": ["y"]}
    seen.drop(TEMPLATES, body)
    assert seen.world.template("a.Job") is None


def test_a_new_template_is_news_for_who_waits_for_it(seen: Seen) -> None:
    seen.corejob("a")
    seen.corejob("b", args={"n": 1})
    other = {**corejob_body(name="c"), "spec": {"qualName": "b.Job"}}
    seen.world.corejobs.put(seen.versioned(other))
    seen.told()

    seen.template("a.Job")
    assert sorted(seen.told()) == ["a", "b"]
    seen.template("a.Job", tag=["x"])
    assert seen.told() == []


# --- twins ----------------------------------------------------------------------------------


def test_twins_have_the_same_name_and_args(seen: Seen) -> None:
    seen.corejob("a", args={"x": 1, "y": 2})
    seen.corejob("b", args={"y": 2, "x": 1.0})
    seen.corejob("c", args={"x": "1", "y": 2})
    seen.corejob("d")

    assert [body["metadata"]["name"] for body in seen.world.twins("a")] == ["b"]
    assert list(seen.world.twins("c")) == []
    assert list(seen.world.twins("unknown")) == []


def test_no_args_is_a_value_too(seen: Seen) -> None:
    seen.corejob("a")
    seen.corejob("b", args={})

    assert [body["metadata"]["name"] for body in seen.world.twins("a")] == ["b"]


def test_a_twin_that_is_gone_is_none(seen: Seen) -> None:
    seen.corejob("a")
    body = seen.corejob("b")
    seen.drop(COREJOBS, body)

    assert list(seen.world.twins("a")) == []


def test_a_corejob_made_anew_under_the_same_name_is_another(seen: Seen) -> None:
    """Its deletion may have gone unheard: a watch that was away lists the new one only."""
    seen.corejob("a", args={"n": 1})
    seen.corejob("other", args={"n": 2})
    seen.corejob("a", args={"n": 2}, metadata={"uid": "another"})

    assert [body["metadata"]["name"] for body in seen.world.twins("a")] == ["other"]
    assert seen.world.same_jobs(identity("a.Job", {"n": 1}), but="") == []


def test_the_same_jobs(seen: Seen) -> None:
    key = identity("a.Job", {})
    assert seen.world.same_jobs(key, but="x") == []

    seen.corejob("a", status={"state": "running"})
    assert [job.in_queue for job in seen.world.same_jobs(key, but="x")] == [True]
    assert seen.world.same_jobs(key, but="a") == []

    seen.corejob("a", status={"state": "complete"})
    assert [job.in_queue for job in seen.world.same_jobs(key, but="x")] == [False]


# --- what the watch heard ---------------------------------------------------------------------


def test_the_newest_version_that_a_watch_brought_is_known(seen: Seen) -> None:
    assert seen.world.heard_of(JOBS) == 0
    body = seen.child(JOBS, "a-1", "a")
    assert seen.world.heard_of(JOBS) == 0

    seen.world.heard(JOBS, None, body)
    assert seen.world.heard_of(JOBS) == int(body["metadata"]["resourceVersion"])
    newer = seen.versioned(body)
    seen.world.heard(JOBS, "MODIFIED", newer)
    seen.world.heard(JOBS, "MODIFIED", body)
    assert seen.world.heard_of(JOBS) == int(newer["metadata"]["resourceVersion"])
    assert seen.world.heard_of(PODS) == 0


def test_a_deletion_that_the_watch_brought(seen: Seen) -> None:
    body = seen.corejob("a")
    seen.told()
    seen.world.heard(COREJOBS, "DELETED", seen.versioned(body))

    assert seen.world.corejobs.get("a") is None
    assert seen.told() == ["a"]
