"""The operator's process: from the first list to its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tests.support.fake_apiserver.http import kube_client
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE

from corejob_kube.cache import ObjectCache
from corejob_operator import handlers
from corejob_operator.caches import CHILD_KINDS, OWN_KINDS, WATCHED
from corejob_operator.process import Operator
from corejob_operator.settings import OperatorSettings

TEMPLATE = {"metadata": {"name": "a.job"}, "spec": {"qualName": "a.Job"}}
KOPFS = {kind.plural for kind in OWN_KINDS}
KILLED = {"spec": {"qualName": "a.Job", "args": {}, "kill": True}}
THEN = "2026-01-01T00:00:00.000001Z"
COREJOB = {"metadata": {"name": "a"}, "spec": {"qualName": "a.Job", "args": {}}}


@asynccontextmanager
async def running(api: FakeApiServer, **settings: Any) -> AsyncIterator[Operator]:
    """Run an operator, and stop it at the end of the block."""
    stop = asyncio.Event()
    async with kube_client(api.url) as kube:
        made = OperatorSettings(NAMESPACE, job_image="x", **settings)
        operator = Operator(kube, made, instance="one")
        task = asyncio.create_task(operator.run(stop), name="run")
        try:
            yield operator
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE):
                await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  # nothing signals it
            await asyncio.sleep(0.005)


def _is_empty(cache: ObjectCache) -> bool:
    return len(cache) == 0


def holder(api: FakeApiServer) -> str | None:
    lease = api.objects["leases"].get("core4-operator") or {}
    return (lease.get("spec") or {}).get("holderIdentity")


async def test_a_corejob_gets_its_finalizer_its_job_and_its_status(api: FakeApiServer) -> None:
    api.put("corejobtemplates", TEMPLATE)
    async with running(api) as operator:
        await until(operator.watches.complete.is_set)
        api.put("corejobs", COREJOB)
        await until(lambda: api.objects["corejobs"]["a"].get("status"))
        await until(lambda: "a-1" in api.objects["jobs"])
        corejob = api.objects["corejobs"]["a"]

        assert corejob["metadata"]["finalizers"] == ["core4.io/journal"]
        assert corejob["status"]["reason"] == "Starting"
        assert operator.metrics.registry.get_sample_value("core4_operator_trials_total") == 1
    assert holder(api) == ""  # released: a standby takes it at once


async def test_the_lease_is_free_before_kopf_ends(api: FakeApiServer) -> None:
    """While it ends, kopf can wait 5 s for tasks of others, and then cancels them."""
    watched_at_release: list[set[str]] = []

    def look(plural: str, _kind: str, body: dict[str, Any]) -> None:
        if plural == "leases" and not body["spec"]["holderIdentity"]:
            watched_at_release.append(api.watches.kinds())

    async with running(api) as operator:
        await until(operator.watches.complete.is_set)
        await until(lambda: holder(api) == "one" and api.watches.kinds() >= KOPFS)
        api.watchers.append(look)
    (watched,) = watched_at_release
    assert watched >= KOPFS


async def test_it_goes_on_from_what_the_one_before_has_written(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first list is older, and kopf has not begun to watch."""

    async def begins_later(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(handlers, "run", begins_later)
    api.put("corejobtemplates", TEMPLATE)
    api.put("corejobs", {**KILLED, "metadata": {"name": "a", "finalizers": ["core4.io/journal"]}})
    api.put("pods", {"metadata": {"name": "before"}})
    api.put(
        "leases", {"metadata": {"name": "core4-operator"}, "spec": {"holderIdentity": "before"}}
    )
    async with running(api) as operator:
        await until(lambda: operator.ready)
        api.change("corejobs", "a", {"status": {"state": "killed", "killedTime": THEN}})
        api.change("leases", "core4-operator", {"spec": {"holderIdentity": ""}})
        reconciles = "core4_operator_reconcile_seconds_count"
        await until(lambda: operator.metrics.registry.get_sample_value(reconciles))
    assert api.objects["corejobs"]["a"]["status"]["killedTime"] == THEN


async def test_jobs_and_pods_with_our_label_are_watched(api: FakeApiServer) -> None:
    labels = {"core4.io/corejob": "a", "core4.io/trial": "1"}
    async with running(api) as operator:
        await until(lambda: api.watches.kinds() == {kind.plural for kind in WATCHED})
        for kind in CHILD_KINDS:
            api.put(kind.plural, {"metadata": {"name": "not-ours"}})
            api.put(kind.plural, {"metadata": {"name": "a-1", "labels": labels}})
            cache = operator.caches.cache(kind)
            await until(partial(cache.get, "a-1"))
            assert cache.get("not-ours") is None
            api.remove(kind.plural, "a-1")
            await until(partial(_is_empty, cache))


async def test_it_waits_for_an_api_server_that_is_away(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse("GET", "corejobs", 503, "starting", times=1)
    async with running(api) as operator:
        await until(lambda: "waiting for Kubernetes: " in caplog.text)
        assert not operator.ready
        await until(lambda: operator.ready)
        await until(lambda: holder(api) == "one")


async def test_it_can_be_stopped_before_the_first_list(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse("GET", "corejobs", 503, "starting", times=1_000)
    async with running(api) as operator:
        await until(lambda: "waiting for Kubernetes: " in caplog.text)
    assert not operator.ready
    assert holder(api) is None


async def test_a_resync_notes_each_answer_and_survives_a_refusal(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(api, resync_interval=0.01) as operator:
        # Else kopf's own list might get the refusal.
        await until(lambda: api.watches.kinds() >= KOPFS)
        api.refuse("GET", "corejobtemplates", 503, "away", times=1)
        await until(lambda: "the resync got no answer: " in caplog.text)
        contact = operator.last_contact
        await until(lambda: operator.last_contact > contact)


async def test_a_reconcile_that_fails_is_counted_logged_and_retried(
    api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api.put("corejobtemplates", TEMPLATE)
    async with running(api) as operator:
        await until(operator.watches.complete.is_set)
        api.refuse("PATCH", "corejobs", 503, "away", times=5)
        api.put("corejobs", COREJOB)
        await until(lambda: "a-1" in api.objects["jobs"])

        registry = operator.metrics.registry
        failures = registry.get_sample_value("core4_operator_reconcile_failures_total")
        assert failures is not None
        assert failures >= 5
    levels = [r.levelname for r in caplog.records if r.getMessage().startswith("a: ")]
    assert levels[:5] == ["INFO"] * 3 + ["WARNING"] * 2
