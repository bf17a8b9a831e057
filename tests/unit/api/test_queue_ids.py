"""CoreJobs with the same id, until the operator has refused all but one: the oldest is the job."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corejob import ids, timestamps
from corejob_api.queue.catalogue import Catalogue
from corejob_api.queue.index import Queue
from corejob_kube.cache import ObjectCache

JOB_ID = ids.new_id(timestamps.from_epoch(1_700_000_000))


class Rig:
    """A queue and its cache."""

    def __init__(self) -> None:
        self.cache = ObjectCache("corejobs")
        self.queue = Queue(self.cache, Catalogue(ObjectCache("corejobtemplates")))
        self.version = 0

    def put(
        self, name: str, *, second: int = 0, job_id: str | None = None, **more: Any
    ) -> dict[str, Any]:
        self.version += 1
        meta = {
            "name": name,
            "uid": more.get("uid", f"uid of {name}"),
            "resourceVersion": str(self.version),
            "creationTimestamp": f"2026-11-24T00:00:{second:02d}Z",
        }
        status = {"id": job_id, "state": more.get("state", "running")} if job_id else {}
        args = {"by": more.get("by", name)}
        body = {"metadata": meta, "spec": {"qualName": "a.B", "args": args}, "status": status}
        self.cache.put(body)
        return body

    def shown(self) -> str | None:
        entry = self.queue.get(JOB_ID)
        return None if entry is None else str(entry.job.args["by"])


def test_a_corejob_named_like_anothers_id_is_not_shown_in_its_place() -> None:
    rig = Rig()
    told: list[str] = []
    rig.put("nightly", job_id=JOB_ID)
    rig.queue.watch(JOB_ID, lambda job: told.append(job.name))
    rig.put(JOB_ID, second=1)
    assert rig.shown() == "nightly"
    assert told == []
    assert [entry.job.name for entry in rig.queue.queued()] == ["nightly"]
    # The operator refuses it, and gives it an id of its own.
    rig.put(
        JOB_ID, second=1, job_id=ids.new_id(timestamps.from_epoch(1_700_000_009)), state="error"
    )
    assert rig.shown() == "nightly"
    assert len(rig.queue) == 2


def test_the_older_of_two_is_shown_if_a_list_has_the_younger_first() -> None:
    rig = Rig()
    rig.put(JOB_ID, second=1)
    rig.put("nightly", job_id=JOB_ID)
    assert rig.shown() == "nightly"


def test_the_other_is_shown_when_the_first_is_gone() -> None:
    rig = Rig()
    first = rig.put("nightly", job_id=JOB_ID)
    rig.put(JOB_ID, second=1)
    rig.cache.drop(first)
    assert rig.shown() == JOB_ID
    assert len(rig.queue) == 1


def test_a_corejob_made_anew_under_its_name_is_another_job() -> None:
    rig = Rig()
    old = rig.put(JOB_ID, uid="1", by="old")
    known = rig.queue.get(JOB_ID)
    rig.put(JOB_ID, uid="2", by="new", second=1)
    entry = rig.queue.get(JOB_ID)
    assert rig.shown() == "new"
    assert known is not None
    assert entry is not None
    assert rig.queue.duplicate_of(known.identity) is None
    assert rig.queue.duplicate_of(entry.identity) == JOB_ID
    assert old["metadata"]["uid"] == "1"


_STEPS = st.tuples(
    st.sampled_from([JOB_ID, "a", "b", "c"]),
    st.sampled_from(["put", "other", "drop"]),
    st.integers(0, 2),
)


@given(st.lists(_STEPS, max_size=30))
def test_whatever_comes_the_first_in_rank_is_shown(steps: list[tuple[str, str, int]]) -> None:
    rig = Rig()
    there: dict[str, tuple[bool, int, str]] = {}
    bodies: dict[str, dict[str, Any]] = {}
    made: dict[str, int] = {}
    for name, what, drawn in steps:
        if what == "drop":
            if name in bodies:
                rig.version += 1
                body = bodies.pop(name)
                made.pop(name)
                body["metadata"]["resourceVersion"] = str(rig.version)
                rig.cache.drop(body)
                there.pop(name, None)
            continue
        job_id = JOB_ID if what == "put" else ids.new_id(timestamps.from_epoch(1_700_000_001))
        observed = not (name == JOB_ID and what == "put")
        second = made.setdefault(name, drawn)  # a CoreJob keeps its creation time while it exists
        bodies[name] = rig.put(name, second=second, job_id=job_id if observed else None)
        there.pop(name, None)
        if what == "put":
            there[name] = not observed, second, f"uid of {name}"
        first = min(there, key=lambda one: there[one], default=None)
        assert rig.shown() == first
    first = min(there, key=lambda one: there[one], default=None)
    assert rig.shown() == first
    assert rig.queue.get(JOB_ID) is None or not rig.queue._younger.get(JOB_ID, {}).get(first or "")
    assert len(rig.queue) == len(bodies) - max(0, len(there) - 1)
