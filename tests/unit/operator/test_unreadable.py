"""An unreadable CoreJob gets an error, can be deleted, and does not affect others."""

import json
from typing import Any

import pytest
from tests.unit.domain.builders import NOW, started
from tests.unit.operator.rig import WATCHED, Rig

from corejob import names, timestamps
from corejob_kube.decoding import Decoder


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A rig whose watches are decoded as those of the real process."""
    decoder = Decoder()

    def watch(plural: str, kind: str, body: dict[str, Any]) -> None:
        if plural in WATCHED:
            read = decoder.decode(json.dumps(body).encode())
            rig.caches.cache(WATCHED[plural]).on_event(kind, read)

    rig.fake.watchers[:] = [watch]
    return rig


async def test_it_becomes_an_error_that_says_why_and_others_go_on(rig: Rig) -> None:
    rig.corejob("deep", has_finalizer=False, args=deep(300))
    rig.corejob("good")
    await rig.settle()
    status = rig.status("deep")
    assert (status["state"], status["reason"]) == ("error", "BadDefinition")
    assert "nested deeper than 100 levels" in status["message"]
    assert rig.jobs() == ["good-1"]
    rig.pod("good-1", started())
    await rig.settle()
    assert rig.status("good")["state"] == "running"
    assert rig.errors == []


async def test_it_takes_no_place(rig: Rig) -> None:
    rig.template("one.Job", properties={"maxParallel": 1})
    for number in range(3):
        rig.corejob(f"deep{number}", qualName="one.Job", args=deep(200 + number))
    rig.corejob("good", qualName="one.Job")
    await rig.settle()
    assert rig.jobs() == ["good-1"]


async def test_two_that_differ_below_the_cut_are_no_duplicates(rig: Rig) -> None:
    for name in ("deep1", "deep2"):
        rig.corejob(name, args=deep(200))
    await rig.settle()
    assert {rig.status(name)["reason"] for name in ("deep1", "deep2")} == {"BadDefinition"}


async def test_it_can_be_deleted(rig: Rig) -> None:
    rig.corejob("deep", args=deep(300))
    await rig.settle()
    meta = {"deletionTimestamp": timestamps.render(NOW)}
    rig.fake.change("corejobs", "deep", {"metadata": meta})
    await rig.settle()
    journaled = {"journaledTime": timestamps.render(NOW)}
    rig.fake.change("corejobs", "deep", {"status": journaled})
    await rig.settle()
    assert rig.fake.objects["corejobs"] == {}


async def test_it_is_never_restarted_with_the_rest_of_its_args(rig: Rig) -> None:
    rig.corejob("deep", args=deep(300))
    await rig.settle()
    rig.fake.change("corejobs", "deep", {"spec": {"restartAt": "2026-11-24T00:00:00Z"}})
    await rig.settle()
    assert rig.status("deep")["state"] == "error"
    assert list(rig.fake.objects["corejobs"]) == ["deep"]


@pytest.mark.parametrize(
    "text", ["0000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:00", "0001-01-01T00:00:00+05:00"]
)
async def test_a_malformed_time_requests_nothing(rig: Rig, text: str) -> None:
    rig.corejob("a", restartAt=text)
    rig.corejob("b")
    await rig.settle()
    assert rig.jobs() == ["a-1", "b-1"]
    assert rig.errors == []


async def test_a_trial_that_is_not_a_number_is_trial_0_and_blocks_no_other(
    rig: Rig,
) -> None:
    for number, trial in enumerate(("abc", "", "-1", "9" * 40, "²")):
        labels = {names.LABEL_COREJOB: "a", names.LABEL_TRIAL: trial}
        rig.fake.put("pods", {"metadata": {"name": f"odd{number}", "labels": labels}})
        rig.fake.put("jobs", {"metadata": {"name": f"odd{number}", "labels": labels}})
    rig.corejob("a")
    rig.corejob("b")
    await rig.settle()
    assert {"a-1", "b-1"} <= set(rig.jobs())
    assert rig.errors == []
