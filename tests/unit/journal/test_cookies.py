"""The cookie of a job class: written to its template once it is stored."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.support.fake_apiserver.http import kube_client

from corejob_journal.recorder.publish.cookies import CookieWriter

NAMESPACE = "jobs"
PATH = f"/apis/core4.io/v1/namespaces/{NAMESPACE}/corejobtemplates/a.b_job".replace("_", "-")


class Templates:
    """A server of one template's status."""

    def __init__(self) -> None:
        self.cookie: dict[str, str] | None = {}
        self.patches: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, _request: web.Request) -> web.Response:
        if self.cookie is None:
            return web.json_response({"reason": "NotFound", "message": "no"}, status=404)
        return web.json_response({"status": {"cookie": self.cookie}})

    async def patch(self, request: web.Request) -> web.Response:
        await self.gate.wait()
        body = await request.json()
        if self.failures:
            code = self.failures.pop(0)
            return web.json_response({"reason": "No", "message": "no"}, status=code)
        self.patches.append(body["status"]["cookie"])
        return web.json_response({})


async def stored(_qual_name: str) -> dict[str, Any]:
    return {"same": {"x": 1}, "other": 2, "new": "three"}


@pytest.fixture
def templates() -> Templates:
    return Templates()


@pytest.fixture
async def cookies(templates: Templates) -> AsyncIterator[CookieWriter]:
    app = web.Application()
    app.router.add_get(PATH + "/status", templates.get)
    app.router.add_patch(PATH + "/status", templates.patch)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with kube_client(f"http://127.0.0.1:{runner.addresses[0][1]}") as kube:
        writer = CookieWriter(kube, NAMESPACE, stored)
        yield writer
        await writer.close(5)
    await runner.cleanup()


async def test_values_are_texts_and_null_deletes(
    cookies: CookieWriter, templates: Templates
) -> None:
    cookies.put("a.B_job", [("count", 1), ("map", {"x": [1]}), ("old", None)])
    await cookies.flushed("a.B_job")
    assert templates.patches == [{"count": "1", "map": '{"x":[1]}', "old": None}]


async def test_values_that_arrive_during_a_patch_share_the_next(
    cookies: CookieWriter, templates: Templates
) -> None:
    templates.gate.clear()
    cookies.put("a.B_job", [("count", 1)])
    await asyncio.sleep(0)
    for number in range(2, 50):
        cookies.put("a.B_job", [("count", number)])
    templates.gate.set()
    await cookies.flushed("a.B_job")
    assert templates.patches[-1] == {"count": "49"}
    assert len(templates.patches) <= 2


async def test_a_failure_that_may_pass_is_tried_again(
    cookies: CookieWriter, templates: Templates
) -> None:
    templates.failures = [503, 409]
    cookies.put("a.B_job", [("count", 1)])
    await cookies.flushed("a.B_job")
    assert templates.patches == [{"count": "1"}]


async def test_a_template_that_is_gone_ends_it(cookies: CookieWriter, templates: Templates) -> None:
    templates.failures = [404]
    cookies.put("a.B_job", [("count", 1)])
    await cookies.flushed("a.B_job")
    assert templates.patches == []
    cookies.put("a.B_job", [("count", 2)])
    await cookies.flushed("a.B_job")
    assert templates.patches == [{"count": "2"}]


async def test_only_values_that_the_template_lacks_are_published(
    cookies: CookieWriter, templates: Templates
) -> None:
    templates.cookie = {"same": '{"x":1}', "other": "1", "gone": "0"}
    await cookies.publish_all("a.B_job")
    assert templates.patches == [{"gone": None, "other": "2", "new": '"three"'}]


async def test_nothing_is_told_that_is_known(cookies: CookieWriter, templates: Templates) -> None:
    templates.cookie = {"same": '{"x":1}', "other": "2", "new": '"three"'}
    await cookies.publish_all("a.B_job")
    templates.cookie = None
    await cookies.publish_all("a.B_job")
    assert templates.patches == []
