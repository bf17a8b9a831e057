"""Leases: writing, parsing, and their expiry by the observer's clock."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.scripted import ScriptedApiServer, refusal

from corejob_kube import leases
from corejob_kube.client import Kube
from corejob_kube.errors import UnavailableError
from corejob_kube.leases import LeaseClient, Renewals

NOW = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)


def lease(version: int, name: str = "mine", holder: str | None = "a") -> dict[str, Any]:
    meta = {"name": name, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"holderIdentity": holder}}


@pytest.fixture
def renewals() -> Renewals:
    return Renewals(5.0)


def test_the_first_observation_counts_as_a_renewal(renewals: Renewals) -> None:
    assert renewals.is_recent(lease(1), 1000.0)
    assert renewals.is_recent(lease(7, "other"), 2000.0)


def test_a_lease_expires_when_it_has_not_changed_for_its_duration(
    renewals: Renewals,
) -> None:
    assert renewals.is_recent(lease(1), 10.0)
    assert renewals.is_recent(lease(1), 15.0)
    assert not renewals.is_recent(lease(1), 15.1)
    assert renewals.is_recent(lease(2), 15.2)
    assert renewals.is_recent(lease(2), 20.2)
    assert not renewals.is_recent(lease(2), 20.3)


def test_each_lease_expires_at_its_own_time(renewals: Renewals) -> None:
    assert renewals.is_recent(lease(1, "one"), 0.0)
    assert renewals.is_recent(lease(2, "two"), 4.0)
    assert not renewals.is_recent(lease(1, "one"), 6.0)
    assert renewals.is_recent(lease(2, "two"), 6.0)


def test_after_forgetting_the_next_observation_counts_as_a_renewal(renewals: Renewals) -> None:
    for name in ("one", "two"):
        assert renewals.is_recent(lease(1, name), 0.0)
    renewals.keep({"two"})
    assert renewals.is_recent(lease(1, "one"), 6.0)
    assert not renewals.is_recent(lease(1, "two"), 6.0)
    renewals.forget()
    assert renewals.is_recent(lease(1, "two"), 6.0)


def test_the_holder_of_a_lease() -> None:
    assert leases.holder(lease(1)) == "a"
    assert leases.holder(lease(1, holder=None)) == ""
    assert leases.holder({"metadata": {}, "spec": {}}) == ""


class RecordingServer:
    """Answers each request with a Lease, and records the requests."""

    def __init__(self, server: ScriptedApiServer) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        server.answer = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        name = request.path.rpartition("/")[2]
        self.requests.append((request.method, name, body))
        return web.json_response(lease(2))


def lease_client(kube: Kube) -> LeaseClient:
    return LeaseClient(kube, "jobs", manager="test", now=lambda: NOW)


SPEC = {
    "holderIdentity": "a",
    "leaseDurationSeconds": 5,
    "renewTime": "2026-11-24T01:02:03.000000Z",
}
MANIFEST: dict[str, Any] = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "mine", "namespace": "jobs"},
    "spec": SPEC,
}


async def test_create_sends_a_whole_lease(server: ScriptedApiServer) -> None:
    recorded = RecordingServer(server)
    async with kube_client(server.url) as kube:
        await lease_client(kube).create("mine", "a", 5.0)
        await lease_client(kube).create("mine", "a", 5.0, labels={"a": "1"}, annotations={"b": "2"})
    marks = {"labels": {"a": "1"}, "annotations": {"b": "2"}}
    marked = {**MANIFEST, "metadata": {"name": "mine", "namespace": "jobs", **marks}}
    assert recorded.requests == [("POST", "leases", MANIFEST), ("POST", "leases", marked)]


async def test_writes_are_bound_to_a_version_where_one_is_given(server: ScriptedApiServer) -> None:
    recorded = RecordingServer(server)
    owner = {"kind": "CoreJob", "name": "a"}
    async with kube_client(server.url) as kube:
        leases = lease_client(kube)
        await leases.renew("mine", "a", 5.0, annotations={"b": None})
        await leases.renew("mine", "a", 5.0, version="7")
        await leases.prolong("mine", "7")
        await leases.replace("mine", "a", 5.0, version="7")
        await leases.set_owner("mine", owner, version="7")
        await leases.delete("mine", uid="u", version="7")
    version = {"resourceVersion": "7"}
    assert recorded.requests == [
        ("PATCH", "mine", {"metadata": {"annotations": {"b": None}}, "spec": SPEC}),
        ("PATCH", "mine", {"metadata": version, "spec": SPEC}),
        ("PATCH", "mine", {"metadata": version, "spec": {"renewTime": SPEC["renewTime"]}}),
        ("PUT", "mine", {**MANIFEST, "metadata": {**MANIFEST["metadata"], **version}}),
        ("PATCH", "mine", {"metadata": {**version, "ownerReferences": [owner]}}),
        (
            "DELETE",
            "mine",
            {"propagationPolicy": "Background", "preconditions": {"uid": "u", **version}},
        ),
    ]


async def test_a_holder_s_pod_exists_or_not(server: ScriptedApiServer) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/v1/namespaces/jobs/pods/there":
            return web.json_response(lease(1, "there"))
        return refusal(404 if request.path.endswith("/gone") else 503)

    server.answer = answer
    async with kube_client(server.url) as kube:
        assert await lease_client(kube).has_pod("there")
        assert not await lease_client(kube).has_pod("gone")
        with pytest.raises(UnavailableError):
            await lease_client(kube).has_pod("unknown")


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
def test_a_lease_may_be_empty_or_malformed(lease: dict[str, Any]) -> None:
    assert (leases.holder(lease), leases.duration(lease)) == ("", 0.0)
    assert leases.renewed_at(lease) is None
