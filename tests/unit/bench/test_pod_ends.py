"""The ends of pods, as the watch tells them."""

import pytest
from tests.bench.pod_ends import PodEnds


def event(kind, phase, name="a"):
    return {"type": kind, "object": {"metadata": {"name": name}, "status": {"phase": phase}}}


def test_a_container_ends_before_its_pod_is_gone():
    ends = PodEnds()
    ends.take(event("MODIFIED", "Running"))
    assert not ends.stopped
    ends.take(event("MODIFIED", "Succeeded"))
    ends.wait_stopped("a")
    assert not ends.gone
    first = ends.stopped["a"]
    ends.take(event("DELETED", "Succeeded"))
    ends.wait_gone("a")
    assert ends.stopped["a"] == first <= ends.gone["a"]


def test_a_deleted_pod_has_ended():
    ends = PodEnds()
    ends.take(event("DELETED", "Running"))
    ends.wait_stopped("a")
    ends.wait_gone("a")


@pytest.mark.parametrize(
    ("wait", "failure"),
    [
        (PodEnds.wait_stopped, "the pod a has not ended after 0.01 s"),
        (PodEnds.wait_gone, "the pod a is not gone after 0.01 s"),
    ],
)
def test_another_pod_s_end_is_not_waited_for(wait, failure):
    ends = PodEnds()
    ends.take(event("DELETED", "Failed", name="b"))
    with pytest.raises(AssertionError, match=failure):
        wait(ends, "a", 0.01)
