"""kopf runs for real against a fake API server: its events reach the caches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import kopf
import pytest
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE, poll

from corejob_kube.decoding import Decoder
from corejob_kube.resources import COREJOBS, TEMPLATES
from corejob_operator import handlers
from corejob_operator.caches import OWN_KINDS, Caches
from corejob_process import tasks
from corejob_process.supervision import TaskEndedError

SPEC = {"qualName": "a.Job", "args": {"n": 1}}


class Kopf:
    """kopf in a task, and the caches that its handlers update."""

    def __init__(self) -> None:
        self.caches = Caches()
        self.watches = handlers.WatchTasks()
        self.changed: list[str] = []
        self.caches.on_change(self.changed.append)

    async def run(self) -> None:
        await handlers.run(self.caches, Decoder(), NAMESPACE, asyncio.Event(), retry_most=0.01)

    def spec(self, name: str) -> Any:
        """Return the spec of the cached CoreJob, or None."""
        return (self.caches.corejobs.get(name) or {}).get("spec")


@asynccontextmanager
async def running(api: FakeApiServer) -> AsyncIterator[Kopf]:
    """Run kopf until the end of the block; its watches are open."""
    made = Kopf()
    # When kopf ends, it cancels all tasks that were started after it. Therefore this is no fixture,
    # whose teardown would be such a task.
    watching = asyncio.create_task(made.watches.until_one_ends())
    task = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(DEADLINE):
            await made.watches.complete.wait()
        await poll(lambda: api.watches.kinds() == {kind.plural for kind in OWN_KINDS})
        yield made
        assert not watching.done()
    finally:
        await tasks.cancel(watching, task)


async def test_a_corejob_that_is_created_changed_and_deleted_reaches_the_cache(
    api: FakeApiServer,
) -> None:
    async with running(api) as operator:
        api.put(COREJOBS.plural, {"metadata": {"name": "a"}, "spec": SPEC})
        await poll(lambda: operator.spec("a") == SPEC)
        killed = api.change(COREJOBS.plural, "a", {"spec": {"kill": True}})
        await poll(lambda: operator.spec("a") == SPEC | {"kill": True})
        version = int(killed["metadata"]["resourceVersion"])
        assert operator.caches.corejobs.watched_version == version
        assert api.objects["corejobs"]["a"] == killed  # kopf itself writes nothing into the object
        api.remove(COREJOBS.plural, "a")
        await poll(lambda: operator.caches.corejobs.get("a") is None)
        assert operator.changed == ["a"] * 3


async def test_objects_of_the_first_list_reach_the_cache(api: FakeApiServer) -> None:
    for resource, spec in ((COREJOBS, SPEC), (TEMPLATES, {"qualName": "a.Job"})):
        api.put(resource.plural, {"metadata": {"name": "a"}, "spec": spec})
    async with running(api) as operator:
        await poll(lambda: all(operator.caches.cache(kind).get("a") for kind in OWN_KINDS))


async def test_a_watch_that_the_server_ends_comes_back(api: FakeApiServer) -> None:
    async with running(api) as operator:
        api.watches.end_all()  # none of the ended watches delivers the following changes
        api.put(COREJOBS.plural, {"metadata": {"name": "a"}, "spec": SPEC})
        await poll(lambda: operator.spec("a") == SPEC)
        api.change(COREJOBS.plural, "a", {"spec": {"kill": True}})
        await poll(lambda: operator.spec("a") == SPEC | {"kill": True})


async def test_a_watch_comes_back_after_an_outage_of_the_api_server(
    api: FakeApiServer,
) -> None:
    async with running(api) as operator:
        # More often than kopf retries by default.
        api.refuse("GET", COREJOBS.plural, 503, "the API server is starting", times=12)
        requests = len(api.requested("GET", COREJOBS.plural))
        api.watches.end_all()
        api.put(COREJOBS.plural, {"metadata": {"name": "a"}, "spec": SPEC})
        await poll(lambda: operator.spec("a") == SPEC)
        assert len(api.requested("GET", COREJOBS.plural)) > requests + 12


async def test_kopf_that_ends_by_itself_is_an_error(
    api: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end(**_: Any) -> None:
        assert api.url

    monkeypatch.setattr(kopf, "operator", end)
    with pytest.raises(TaskEndedError, match="kopf has ended"):
        await Kopf().run()


async def test_kopf_has_no_peers_posts_nothing_and_keeps_nothing() -> None:
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    body: Any = kopf.Body({"metadata": {"name": "a"}, "spec": SPEC, "status": {}})
    diffbase = settings.persistence.diffbase_storage
    progress = settings.persistence.progress_storage
    patch = kopf.Patch()
    essence = diffbase.build(body=body)
    diffbase.store(body=body, patch=patch, essence=essence)
    key: Any = "corejobs"
    progress.store(body=body, patch=patch, key=key, record={"retries": 1})
    progress.touch(body=body, patch=patch, value="now")
    progress.purge(body=body, patch=patch, key=key)
    assert not patch
    assert essence == progress.clear(essence=essence) == {}
    assert diffbase.fetch(body=body) is None
    assert progress.fetch(body=body, key=key) is None


async def test_retry_pauses_start_again_never_end_and_stay_short() -> None:
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    backoffs: Any = settings.networking.error_backoffs
    for _ in range(2):
        pauses = list(islice(backoffs, 40))
        assert 0.5 <= pauses[0] < 1.0
        assert all(2.5 <= pause < 5.0 for pause in pauses[4:])
