"""After an uninstall, no CoreJob has our finalizer."""

from typing import Any

import pytest
from tests.unit.operator.rig import Rig

from corejob import names
from corejob_kube.errors import UnavailableError
from corejob_operator.release import release

OTHER = {"finalizers": ["other", names.FINALIZER]}


def finalizers(rig: Rig) -> dict[str, Any]:
    return {
        name: body["metadata"].get("finalizers") or []
        for name, body in rig.fake.objects["corejobs"].items()
    }


async def test_ours_go_and_others_stay(rig: Rig) -> None:
    rig.corejob("a")
    rig.corejob("b", metadata=OTHER)
    rig.corejob("c", has_finalizer=False)

    assert await release(rig.kube, "jobs") == 2
    assert finalizers(rig) == {"a": [], "b": ["other"], "c": []}
    assert len(rig.fake.requested("PATCH", "corejobs")) == 2


async def test_a_corejob_in_deletion_is_gone_afterwards(rig: Rig) -> None:
    rig.corejob("a")
    rig.fake.delete("corejobs", "a")
    assert "a" in rig.fake.objects["corejobs"]

    assert await release(rig.kube, "jobs") == 1
    assert rig.fake.objects["corejobs"] == {}


async def test_many_pages(rig: Rig) -> None:
    rig.fake.page = 2
    for number in range(7):
        rig.corejob(f"a{number}")

    assert await release(rig.kube, "jobs") == 7


async def test_a_concurrent_change_is_retried_in_the_next_round(rig: Rig) -> None:
    rig.fake.refuse("PATCH", "corejobs", 409)
    rig.corejob("a")

    assert await release(rig.kube, "jobs") == 1
    assert finalizers(rig) == {"a": []}


async def test_a_concurrent_deletion_is_no_error(rig: Rig) -> None:
    rig.corejob("a")
    rig.fake.refuse("PATCH", "corejobs", 404, after=lambda: rig.fake.remove("corejobs", "a"))

    assert await release(rig.kube, "jobs") == 0


async def test_without_the_definitions_nothing_is_held(rig: Rig) -> None:
    rig.fake.refuse("GET", "corejobs", 404)

    assert await release(rig.kube, "jobs") == 0


async def test_a_server_that_is_away_is_an_error(rig: Rig) -> None:
    rig.fake.refuse("GET", "corejobs", 503)

    with pytest.raises(UnavailableError):
        await release(rig.kube, "jobs")
