"""What Leases are made of, and when one has run out by the watcher's own clock."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.unit.kube.server import Server, client, refusal

from corejob_kube import leases
from corejob_kube.errors import UnavailableError
from corejob_kube.leases import Renewals

NOW = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)


def lease(version: int, name: str = "mine", holder: str | None = "a") -> dict[str, Any]:
    meta = {"name": name, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"holderIdentity": holder}}


@pytest.fixture
def renewals() -> Renewals:
    return Renewals(5.0)


def test_one_seen_first_counts_as_renewed(renewals: Renewals) -> None:
    assert renewals.is_recent(lease(1), 1000.0)
    assert renewals.is_recent(lease(7, "other"), 2000.0)


def test_it_has_run_out_when_it_was_the_same_for_longer_than_its_duration(
    renewals: Renewals,
) -> None:
    assert renewals.is_recent(lease(1), 10.0)
    assert renewals.is_recent(lease(1), 15.0)
    assert not renewals.is_recent(lease(1), 15.1)
    assert renewals.is_recent(lease(2), 15.2)
    assert renewals.is_recent(lease(2), 20.2)
    assert not renewals.is_recent(lease(2), 20.3)


def test_each_lease_has_its_own_time(renewals: Renewals) -> None:
    assert renewals.is_recent(lease(1, "one"), 0.0)
    assert renewals.is_recent(lease(2, "two"), 4.0)
    assert not renewals.is_recent(lease(1, "one"), 6.0)
    assert renewals.is_recent(lease(2, "two"), 6.0)


def test_what_is_forgotten_counts_as_seen_first(renewals: Renewals) -> None:
    for name in ("one", "two"):
        assert renewals.is_recent(lease(1, name), 0.0)
    renewals.keep({"two"})
    assert renewals.is_recent(lease(1, "one"), 6.0)
    assert not renewals.is_recent(lease(1, "two"), 6.0)
    renewals.forget()
    assert renewals.is_recent(lease(1, "two"), 6.0)


def test_who_holds_it() -> None:
    assert leases.holder(lease(1)) == "a"
    assert leases.holder(lease(1, holder=None)) == ""
    assert leases.holder({"metadata": {}, "spec": {}}) == ""


def test_all_of_a_lease() -> None:
    spec = leases.spec("a", 5.0, NOW)
    assert spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 5,
        "renewTime": "2026-11-24T01:02:03.000000Z",
    }
    assert leases.manifest("jobs", "mine", spec) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "mine", "namespace": "jobs"},
        "spec": spec,
    }
    marked = leases.manifest("jobs", "mine", spec, labels={"a": "1"}, annotations={"b": "2"})
    assert marked["metadata"]["labels"] == {"a": "1"}
    assert marked["metadata"]["annotations"] == {"b": "2"}


async def test_a_holder_has_a_pod_or_has_not(server: Server) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/v1/namespaces/jobs/pods/there":
            return web.json_response(lease(1, "there"))
        return refusal(404 if request.path.endswith("/gone") else 503)

    server.answer = answer
    async with client(server.url) as kube:
        assert await leases.has_pod(kube, "jobs", "there")
        assert not await leases.has_pod(kube, "jobs", "gone")
        with pytest.raises(UnavailableError):
            await leases.has_pod(kube, "jobs", "unknown")


@pytest.mark.parametrize(
    "lease",
    [
        {},
        {"spec": None},
        {"spec": "x"},
        {"spec": {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None}},
        {"spec": {"holderIdentity": 1, "leaseDurationSeconds": "1", "renewTime": "yesterday"}},
    ],
)
def test_a_lease_need_not_say_anything(lease: dict[str, Any]) -> None:
    assert (leases.holder(lease), leases.duration(lease)) == ("", 0.0)
    assert leases.renewed_at(lease) is None
