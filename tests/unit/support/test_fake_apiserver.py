"""The fake API server follows the rules that the components rely on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.fake_apiserver.faults import Request
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE

from corejob_kube.client import Kube
from corejob_kube.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from corejob_kube.resources import COREJOBS, JOBS, LEASES, PODS

MANAGER = "test"


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    running = FakeApiServer("operator")
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def kube(server: FakeApiServer) -> AsyncIterator[Kube]:
    async with kube_client(server.url) as client:
        yield client


def corejob(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "spec": {"qualName": "a.Job"}}


def owned(name: str, owner: dict[str, Any], **meta: Any) -> dict[str, Any]:
    reference = {"uid": owner["metadata"]["uid"], "name": owner["metadata"]["name"]}
    return {"metadata": {"name": name, "ownerReferences": [reference], **meta}}


@asynccontextmanager
async def watch(kube: Kube, version: int, **query: str) -> AsyncIterator[Any]:
    """Read events of CoreJobs as type and name, or the code of an error."""
    params = {"watch": "true", "resourceVersion": str(version), **query}
    path = COREJOBS.path(NAMESPACE)
    async with kube.stream(path, params=params, idle=DEADLINE) as lines:

        async def events(count: int) -> list[tuple[str, Any]]:
            read = [json.loads(await lines.readline()) for _ in range(count)]
            return [
                (
                    event["type"],
                    event["object"].get("code") or event["object"]["metadata"].get("name"),
                )
                for event in read
            ]

        yield events


# --- objects ---------------------------------------------------------------------------------


async def test_a_name_is_created_once(server: FakeApiServer, kube: Kube) -> None:
    made = await kube.create(JOBS, NAMESPACE, {"metadata": {"name": "a"}}, manager=MANAGER)
    assert made == server.objects["jobs"]["a"]
    with pytest.raises(AlreadyExistsError):
        await kube.create(JOBS, NAMESPACE, {"metadata": {"name": "a"}}, manager=MANAGER)


async def test_a_dry_run_stores_nothing(server: FakeApiServer, kube: Kube) -> None:
    body = {"metadata": {"name": "a"}}
    await kube.create(JOBS, NAMESPACE, body, manager=MANAGER, dry_run=True)
    assert server.objects["jobs"] == {}


async def test_a_lease_is_taken_by_one_of_two_writers(server: FakeApiServer, kube: Kube) -> None:
    lease = server.put("leases", {"metadata": {"name": "a"}, "spec": {"holderIdentity": ""}})
    meta = {"resourceVersion": lease["metadata"]["resourceVersion"]}
    first = {"metadata": meta, "spec": {"holderIdentity": "one"}}
    await kube.patch(LEASES, NAMESPACE, "a", first, manager=MANAGER)
    second = {"metadata": meta, "spec": {"holderIdentity": "two"}}
    with pytest.raises(ConflictError):
        await kube.patch(LEASES, NAMESPACE, "a", second, manager=MANAGER)
    assert server.objects["leases"]["a"]["spec"] == {"holderIdentity": "one"}


async def test_status_and_the_rest_are_written_apart(server: FakeApiServer, kube: Kube) -> None:
    server.put("corejobs", corejob("a"))
    both = {"spec": {"kill": True}, "status": {"state": "running"}}
    await kube.patch(COREJOBS, NAMESPACE, "a", both, manager=MANAGER)
    assert "status" not in server.objects["corejobs"]["a"]
    patch = {"spec": {"kill": False}, "status": {"state": "running"}}
    await kube.patch(COREJOBS, NAMESPACE, "a", patch, manager=MANAGER, sub="status")
    body = server.objects["corejobs"]["a"]
    assert (body["spec"]["kill"], body["status"]) == (True, {"state": "running"})
    assert body["metadata"]["generation"] == 2


async def test_a_patch_that_changes_nothing_is_no_event(server: FakeApiServer, kube: Kube) -> None:
    server.put("corejobs", corejob("a"))
    version = server.version
    await kube.patch(COREJOBS, NAMESPACE, "a", {"spec": {"qualName": "a.Job"}}, manager=MANAGER)
    assert server.version == version


async def test_a_finished_job_keeps_its_state(server: FakeApiServer, kube: Kube) -> None:
    server.put("corejobs", {**corejob("a"), "status": {"state": "complete"}})
    patch = {"status": {"state": "running"}}
    with pytest.raises(InvalidError):
        await kube.patch(COREJOBS, NAMESPACE, "a", patch, manager=MANAGER, sub="status")


async def test_a_finalizer_delays_the_deletion_and_owned_objects_follow(
    server: FakeApiServer, kube: Kube
) -> None:
    owner = server.put("corejobs", corejob("a", finalizers=["mine"]))
    job = server.put("jobs", owned("a-1", owner))
    server.put("pods", owned("a-1-x", job))
    server.put("pods", {"metadata": {"name": "other"}})
    await kube.delete(COREJOBS, NAMESPACE, "a")
    assert "deletionTimestamp" in server.objects["corejobs"]["a"]["metadata"]
    patch = {"metadata": {"finalizers": None}}
    await kube.patch(COREJOBS, NAMESPACE, "a", patch, manager=MANAGER)
    assert (server.objects["corejobs"], server.objects["jobs"]) == ({}, {})
    assert list(server.objects["pods"]) == ["other"]


async def test_only_the_object_of_that_uid_is_deleted(server: FakeApiServer, kube: Kube) -> None:
    server.put("pods", {"metadata": {"name": "a"}})
    await kube.delete(PODS, NAMESPACE, "a", uid="another")
    assert list(server.objects["pods"]) == ["a"]


async def test_pages_are_of_one_version(server: FakeApiServer, kube: Kube) -> None:
    for name in "abc":
        server.put("corejobs", corejob(name, labels={"x": "y"}))
    server.put("corejobs", corejob("d"))
    version = str(server.version)
    server.page = 2

    def remove_meanwhile(request: Request) -> None:
        if "continue" in request.query:
            del server.objects["corejobs"]["c"]

    server.intercept = remove_meanwhile
    items, listed = await kube.list(COREJOBS, NAMESPACE, selector="x=y")
    assert [body["metadata"]["name"] for body in items] == ["a", "b", "c"]
    assert listed == version


# --- watches ---------------------------------------------------------------------------------


async def test_a_watch_delivers_changes_since_its_version(
    server: FakeApiServer, kube: Kube
) -> None:
    server.put("corejobs", corejob("before"))
    version = server.version
    server.put("corejobs", corejob("a"))
    server.remove("corejobs", "before")
    server.put("jobs", {"metadata": {"name": "of another kind"}})
    async with watch(kube, version) as events:
        assert await events(2) == [("ADDED", "a"), ("DELETED", "before")]
        server.change("corejobs", "a", {"spec": {"kill": True}})
        assert await events(1) == [("MODIFIED", "a")]


async def test_a_selector_adds_and_deletes_objects_whose_labels_change(
    server: FakeApiServer, kube: Kube
) -> None:
    server.put("corejobs", corejob("a"))
    async with watch(kube, server.version, labelSelector="x=y") as events:
        for value in ("y", "z"):
            server.change("corejobs", "a", {"metadata": {"labels": {"x": value}}})
        assert await events(2) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_from_a_forgotten_version_is_expired(
    server: FakeApiServer, kube: Kube
) -> None:
    version = server.version
    server.put("corejobs", corejob("a"))
    server.compact()
    async with watch(kube, version) as events:
        assert await events(1) == [("ERROR", 410)]
    async with watch(kube, server.version, allowWatchBookmarks="true") as events:
        server.send_bookmarks()
        assert await events(1) == [("BOOKMARK", None)]


# --- faults ----------------------------------------------------------------------------------


async def test_a_lost_response_is_of_a_request_that_was_carried_out(
    server: FakeApiServer, kube: Kube
) -> None:
    server.refuse("POST", "jobs", 409, reason="Conflict", after=lambda: None)
    with pytest.raises(ConflictError):
        await kube.create(JOBS, NAMESPACE, {"metadata": {"name": "a"}}, manager=MANAGER)
    assert list(server.objects["jobs"]) == ["a"]
    with pytest.raises(NotFoundError):
        await kube.get(JOBS, NAMESPACE, "b")


async def test_the_role_of_the_chart_is_all_that_is_allowed() -> None:
    server = FakeApiServer("api")
    await server.start()
    async with kube_client(server.url) as kube:
        with pytest.raises(Exception, match="403"):
            await kube.list(JOBS, NAMESPACE)
    with pytest.raises(AssertionError, match="role of api does not allow"):
        await server.stop()
