"""The recorder keeps of CoreJobs and pods all that it acts on."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corejob import model
from corejob.document import document
from corejob.state import State
from corejob.timestamps import from_epoch
from corejob_journal.recorder import cached
from corejob_journal.recorder.ingest import pods

TIME = "2026-11-24T01:00:00Z"
CHILD = "6743bbbbbbbbbbbbbbbbbbbb"
NOW = from_epoch(1.8e9)


def _maybe(value: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, value])


@st.composite
def corejobs(draw: st.DrawFn) -> dict[str, Any]:
    """CoreJobs in all combinations of state, requests and progress of the recorder."""
    number = st.integers(0, 3)
    meta = {
        "name": "6743aaaaaaaaaaaaaaaaaaaa",
        "namespace": "jobs",
        "uid": "uid-a",
        "resourceVersion": "7",
        "creationTimestamp": TIME,
        "deletionTimestamp": draw(_maybe(TIME)),
        "finalizers": ["core4.io/journal"],
        "labels": {"a": "b"},
        "managedFields": [{"manager": "m"}],
    }
    spec = {
        "qualName": "a.Job",
        "username": "hans",
        "args": {"n": 1},
        "kill": draw(_maybe(True)),
        "remove": draw(_maybe(True)),
        "childId": draw(_maybe(CHILD)),
        "carriedTrials": draw(_maybe(1)) or 0,
        "tag": "t",
    }
    log = {"trial": draw(number), "complete": draw(st.booleans()), "startedTrial": draw(number)}
    status = {
        "state": draw(st.sampled_from([str(state) for state in State])),
        "trial": draw(number),
        "childId": draw(_maybe(CHILD)),
        "removedTime": draw(_maybe(TIME)),
        "inactiveTime": draw(_maybe(TIME)),
        "journaledTime": draw(_maybe(TIME)),
        "message": "words",
        "lastError": {"exception": "E", "timestamp": TIME},
        "conditions": [{"type": "Started"}],
        "sources": ["a.csv"],
        "log": log,
    }
    kept = {key: value for key, value in status.items() if value is not None}
    body = {
        "apiVersion": "core4.io/v1",
        "metadata": {key: value for key, value in meta.items() if value is not None},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    return {**body, "status": kept} if draw(st.booleans()) else body


FACTS = (
    "name",
    "uid",
    "id",
    "created",
    "qual_name",
    "state",
    "stop",
    "kill",
    "remove",
    "in_queue",
    "archivable",
    "log_finalised",
    "journaled",
    "log",
    "sources",
    "carried_trials",
)


@given(corejobs())
def test_the_recorder_decides_as_by_the_whole_corejob(body: dict[str, Any]) -> None:
    whole, kept = model.parse(body), model.parse(cached.corejob(body))
    for fact in FACTS:
        assert getattr(kept, fact) == getattr(whole, fact), fact
    assert kept.status.trial == whole.status.trial
    assert kept.status.inactive_time == whole.status.inactive_time


@given(corejobs())
def test_a_job_to_archive_or_with_an_open_log_is_kept_whole(body: dict[str, Any]) -> None:
    whole, kept = model.parse(body), model.parse(cached.corejob(body))
    if (whole.archivable and not whole.journaled) or not whole.log_finalised:
        assert document(kept, NOW) == document(whole, NOW)
        assert not cached.at_rest(body) or whole.journaled


@given(corejobs())
def test_the_kept_part_of_a_kept_part_is_the_same(body: dict[str, Any]) -> None:
    kept = cached.corejob(body)
    assert cached.corejob(kept) == kept
    assert cached.at_rest(kept) == cached.at_rest(body)
    assert not {"managedFields", "labels"} & kept["metadata"].keys()


def test_a_waiting_corejob_is_kept_without_its_args() -> None:
    meta = {"name": "a", "uid": "u", "resourceVersion": "1", "annotations": {"x": "y"}}
    body = {"metadata": meta, "spec": {"qualName": "a.Job", "args": {"n": 1}}}
    assert cached.corejob(body) == {
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "1"},
        "spec": {"qualName": "a.Job"},
        "status": {},
    }


POD: dict[str, Any] = {
    "metadata": {
        "name": "a-1-x",
        "uid": "uid-p",
        "resourceVersion": "3",
        "creationTimestamp": TIME,
        "deletionTimestamp": TIME,
        "labels": {"core4.io/corejob": "a", "core4.io/trial": "1", "job-name": "a-1"},
        "annotations": {
            "core4.io/id": "a",
            "core4.io/qual-name": "a.Job",
            "core4.io/runtime": "core4",
            "core4.io/attempts-left": "2",
            "core4.io/username": "hans",
            "core4.io/container": "main",
            "other": "x",
        },
        "ownerReferences": [{"kind": "Job", "name": "a-1", "uid": "uid-j", "controller": True}],
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {
        "nodeName": "node-1",
        "volumes": [{"name": "v"}],
        "containers": [
            {"name": "main", "env": [{"name": "A"}], "resources": {"limits": {"memory": "1Gi"}}},
            {"name": "side", "restartPolicy": "Always"},
        ],
        "initContainers": [{"name": "init", "image": "i"}],
    },
    "status": {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "disk",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "r"}],
        "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [
            {
                "name": "main",
                "restartCount": 1,
                "imageID": "i",
                "state": {"terminated": {"exitCode": 1, "startedAt": TIME, "finishedAt": TIME}},
                "lastState": {"terminated": {"exitCode": 2, "startedAt": TIME}},
            }
        ],
    },
}


def test_a_pod_is_parsed_as_the_whole_one() -> None:
    kept = cached.pod(POD)
    assert pods.parse(kept) == pods.parse(POD)
    assert cached.pod(kept) == kept
    assert "managedFields" not in kept["metadata"]
    assert "env" not in kept["spec"]["containers"][0]
