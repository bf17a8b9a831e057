"""A small API server over real HTTP: CoreJobs, templates and Leases, with what the API relies on.

Creating is exclusive, resource versions guard writes, preconditions guard deletions, watches tell
everything in order.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from aiohttp import web

NAMESPACE = "jobs"
Body = dict[str, Any]
Hook = Callable[[str, str, str], int | None]
"""Called with method, plural and name before a request is done; a status refuses it."""


class FakeKube:
    """What `objects[plural][name]` says is so."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Body]] = {
            "corejobs": {},
            "corejobtemplates": {},
            "leases": {},
        }
        self.requests: list[tuple[str, str, str]] = []
        self.hook: Hook | None = None
        self.gates: dict[tuple[str, str], asyncio.Event] = {}
        self.waiting = asyncio.Condition()
        self.held = 0
        self.changed = asyncio.Condition()
        self.url = ""
        self._version = 100
        self._watches: list[tuple[str, str, asyncio.Queue[Any]]] = []
        self._runner: web.AppRunner | None = None

    # --- the server -------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        for plural in self.objects:
            group = "coordination.k8s.io" if plural == "leases" else "core4.io"
            path = f"/apis/{group}/v1/namespaces/{NAMESPACE}/{plural}"
            app.router.add_route("*", path, self._handler(plural))
            app.router.add_route("*", path + "/{name}", self._handler(plural))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.cut_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    def cut_watches(self) -> None:
        for _, _, queue in self._watches:
            queue.put_nowait(None)

    def _handler(self, plural: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            name = request.match_info.get("name", "")
            method = request.method
            self.requests.append((method, plural, name))
            await self._pass_gate(method, plural)
            refused = self.hook(method, plural, name) if self.hook else None
            if refused is not None:
                return _refuse(refused, f"hook says {refused}")
            if method == "GET" and not name and request.query.get("watch") == "true":
                return await self._watch(request, plural)
            return await self._do(request, plural, name)

        return handle

    async def _pass_gate(self, method: str, plural: str) -> None:
        gate = self.gates.get((method, plural))
        if gate is None:
            return
        self.held += 1
        async with self.waiting:
            self.waiting.notify_all()
        await gate.wait()
        self.held -= 1

    async def _do(self, request: web.Request, plural: str, name: str) -> web.Response:
        objects = self.objects[plural]
        if request.method == "GET" and not name:
            label = request.query.get("labelSelector", "")
            items = [o for o in objects.values() if _has_label(o, label)]
            return web.json_response(
                {"items": items, "metadata": {"resourceVersion": str(self._version)}}
            )
        if request.method == "POST":
            body = await request.json()
            name = body["metadata"]["name"]
            if name in objects:
                return _refuse(409, f"{plural} {name} already exists")
            return web.json_response(await self.put(plural, body), status=201)
        old = objects.get(name)
        if old is None:
            return _refuse(404, f"{plural} {name} not found")
        if request.method == "GET":
            return web.json_response(old)
        return await self._write(request, plural, old)

    async def _write(self, request: web.Request, plural: str, old: Body) -> web.Response:
        body = await request.json()
        meta = body.get("preconditions") or body.get("metadata") or {}
        for field in ("resourceVersion", "uid"):
            if meta.get(field) not in {None, old["metadata"][field]}:
                return _refuse(409, f"the object has another {field}")
        if request.method == "DELETE":
            await self.delete(plural, old["metadata"]["name"])
            return web.json_response({"kind": "Status", "status": "Success"})
        if request.method == "PUT":
            kept = {"uid": old["metadata"]["uid"]}
            return web.json_response(
                await self.put(plural, {**body, "metadata": {**body["metadata"], **kept}})
            )
        return web.json_response(await self.put(plural, merged(old, body)))

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        label = request.query.get("labelSelector", "")
        for item in list(self.objects[plural].values()):
            if int(item["metadata"]["resourceVersion"]) > since and _has_label(item, label):
                queue.put_nowait({"type": "MODIFIED", "object": item})
        entry = (plural, label, queue)
        self._watches.append(entry)
        try:
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionError:
            pass
        finally:
            self._watches.remove(entry)
        return response

    # --- what tests do ----------------------------------------------------------------------

    async def put(self, plural: str, body: Body) -> Body:
        """Create or replace an object; the watches tell it."""
        self._version += 1
        meta = {
            "uid": str(uuid4()),
            "creationTimestamp": "2026-11-24T00:00:00Z",
            **body["metadata"],
            "resourceVersion": str(self._version),
            "namespace": NAMESPACE,
        }
        body = {**body, "metadata": meta}
        self.objects[plural][meta["name"]] = body
        await self._tell(plural, {"type": "MODIFIED", "object": body})
        return body

    async def delete(self, plural: str, name: str) -> None:
        """Delete an object; the watches tell it."""
        self._version += 1
        body = self.objects[plural].pop(name)
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        await self._tell(plural, {"type": "DELETED", "object": {**body, "metadata": meta}})

    async def patch(self, plural: str, name: str, body: Body) -> Body:
        """Change an object, as the operator or kubectl do."""
        return await self.put(plural, merged(self.objects[plural][name], body))

    async def _tell(self, plural: str, event: Body) -> None:
        for kind, label, queue in self._watches:
            if kind == plural and _has_label(event["object"], label):
                queue.put_nowait(event)
        async with self.changed:
            self.changed.notify_all()

    async def template(self, qual_name: str, **spec: Any) -> None:
        """A CoreJobTemplate."""
        body = {
            "metadata": {"name": qual_name.lower().replace("_", "-")},
            "spec": {"qualName": qual_name, "author": "hans", **spec},
        }
        await self.put("corejobtemplates", body)

    def hold(self, method: str, plural: str) -> asyncio.Event:
        """Let such requests wait until the event is set."""
        gate = self.gates[method, plural] = asyncio.Event()
        return gate

    async def until_held(self, count: int = 1) -> None:
        """Wait until so many requests wait."""
        async with asyncio.timeout(10), self.waiting:
            await self.waiting.wait_for(lambda: self.held >= count)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something about the objects is so."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)


def merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = {**body} if isinstance(body, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _has_label(body: Body, label: str) -> bool:
    return not label or label in body["metadata"].get("labels", {})


def _refuse(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "reason": "Refused", "message": message, "code": code}
    return web.json_response(body, status=code)
