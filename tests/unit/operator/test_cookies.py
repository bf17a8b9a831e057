"""A trial waits for the logs of ended trials of its class, since they may change the cookie."""

import json
from typing import Any

import pytest
from tests.unit.domain.builders import ended, started
from tests.unit.operator.rig import Rig

PENDING = "CookiePending"
SETTLED = {"log": {"trial": 1, "complete": True}}


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A rig whose class has a cookie."""
    tell(rig, count=1)
    return rig


def tell(rig: Rig, **cookie: Any) -> None:
    texts = {key: json.dumps(value) for key, value in cookie.items()}
    rig.fake.change("corejobtemplates", "a.job", {"status": {"cookie": texts}})


def given(rig: Rig, job: str) -> dict[str, Any]:
    """Return the cookie in a trial's pod."""
    container = rig.fake.objects["jobs"][job]["spec"]["template"]["spec"]["containers"][0]
    description = next(item["value"] for item in container["env"] if item["name"] == "CORE4_JOB")
    cookie_given: dict[str, Any] = json.loads(description)["cookie"]
    return cookie_given


async def to_end(rig: Rig, name: str, code: int = 0) -> None:
    """Run and end a job's first trial, without finalising its log."""
    if name not in rig.fake.objects["corejobs"]:
        rig.corejob(name)
    await rig.settle()
    rig.pod(f"{name}-1", started())
    await rig.settle()
    rig.pod(f"{name}-1", ended(code), "Failed" if code else "Succeeded")
    await rig.settle()


async def test_it_waits_for_the_log_and_has_the_newest_cookie(rig: Rig) -> None:
    await to_end(rig, "a")
    rig.corejob("b")
    await rig.settle()
    assert rig.jobs() == ["a-1"]
    assert rig.status("b")["reason"] == PENDING
    assert "the log of trial 1 of a is not stored completely yet" in rig.status("b")["message"]
    assert rig.reconciler.admitter.admission.is_active("b")

    rig.stale.add("corejobtemplates")
    tell(rig, count=2)
    rig.fake.change("corejobs", "a", {"status": SETTLED})
    await rig.settle()
    assert given(rig, "b-1") == {"count": 2}


async def test_it_waits_for_the_log_of_its_own_last_trial(rig: Rig) -> None:
    rig.corejob("a", attempts=2, errorTimeSeconds=1)
    await to_end(rig, "a", code=1)
    await rig.passes(10)
    assert rig.status("a")["reason"] == PENDING

    rig.fake.change("corejobs", "a", {"status": SETTLED})
    await rig.settle()
    assert "a-2" in rig.jobs()


async def test_it_does_not_wait_for_those_that_end_later(rig: Rig) -> None:
    rig.corejob("c")
    await to_end(rig, "a")
    rig.corejob("b")
    await rig.settle()
    await to_end(rig, "c")
    rig.fake.change("corejobs", "a", {"status": SETTLED})
    await rig.settle()

    assert "b-1" in rig.jobs()


async def test_it_does_not_wait_longer_than_until_the_log_is_given_up(rig: Rig) -> None:
    await to_end(rig, "a")
    rig.corejob("b")
    await rig.settle()
    await rig.passes(rig.settings.log_deadline / 2)
    assert rig.status("b")["reason"] == PENDING

    assert "b-1" not in rig.jobs()
    await rig.passes(rig.settings.log_deadline / 2)
    assert "b-1" in rig.jobs()


@pytest.mark.parametrize("why", ["no cookie", "another class", "the other is gone"])
async def test_it_starts_at_once(rig: Rig, why: str) -> None:
    await to_end(rig, "a")
    rig.template("b.Job")
    if why == "no cookie":
        rig.fake.objects["corejobtemplates"]["a.job"].pop("status")
        rig.begin()
    rig.corejob("b", qualName="b.Job" if why == "another class" else "a.Job")
    await rig.settle()
    if why == "the other is gone":
        assert "b-1" not in rig.jobs()
        rig.fake.remove("corejobs", "a")
        await rig.settle()

    assert "b-1" in rig.jobs()


async def test_unreadable_values_of_a_cookie_are_left_out(rig: Rig) -> None:
    deep = {"deep": "[" * 65 + "]" * 65, "deeper": "[" * 5000 + "]" * 5000, "torn": "{"}
    rig.fake.change("corejobtemplates", "a.job", {"status": {"cookie": {**deep, "count": "3"}}})
    rig.corejob("a")
    await rig.settle()
    assert given(rig, "a-1") == {"count": 3}
