"""A fake API server over real HTTP, for tests of processes that need one but no cluster.

A duplicate creation is a 409, resource versions guard writes, preconditions guard deletions, and
watches deliver all changes in order.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from aiohttp import web
from tests.support.rights import Authorizer

from corejob_kube.resources import COREJOBS, LEASES, TEMPLATES, Resource

NAMESPACE = "jobs"
DEADLINE = 45.0
Body = dict[str, Any]


class KubeApi:
    """The fake API server; its state is `objects[plural][name]`.

    Args:
        resources: The kinds that it serves.
        role: Role of the chart. Requests that it does not allow are refused, and fail the test.
    """

    def __init__(
        self,
        resources: Sequence[Resource] = (COREJOBS, TEMPLATES, LEASES),
        *,
        role: str,
    ) -> None:
        self._authorizer = Authorizer(role)
        self.objects: dict[str, dict[str, Body]] = {one.plural: {} for one in resources}
        self.changed = asyncio.Condition()
        self.url = ""
        self._resources = resources
        self._version = 100
        self._watches: list[tuple[str, str, asyncio.Queue[Body | None]]] = []
        self._runner: web.AppRunner | None = None

    # --- the server -------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        for resource in self._resources:
            path = resource.path(NAMESPACE)
            for tail in ("", "/{name}", "/{name}/{sub}"):
                app.router.add_route("*", path + tail, self._handler(resource.plural))
        app.router.add_get("/{root:apis?}{rest:.*}", self._discover)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End the watches, close, and fail if the role did not allow a request."""
        self.cut_watches()
        assert self._runner is not None
        await self._runner.cleanup()
        self._authorizer.check()

    def cut_watches(self) -> None:
        """End all watches cleanly."""
        for _, _, queue in self._watches:
            queue.put_nowait(None)

    def watched(self) -> set[str]:
        """Return the kinds with an open watch."""
        return {plural for plural, _, _ in self._watches}

    async def _discover(self, request: web.Request) -> web.Response:
        """Answer API discovery, as kopf requests it."""
        versions = {resource.group_version for resource in self._resources}
        groups = [version.split("/") for version in sorted(versions) if "/" in version]
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        if request.path == "/apis":
            found = [
                {"name": group, "versions": [of], "preferredVersion": of}
                for group, version in groups
                for of in [{"groupVersion": f"{group}/{version}", "version": version}]
            ]
            return web.json_response({"groups": found})
        wanted = request.path.removeprefix("/apis/").removeprefix("/api/")
        known = {resource.plural: resource.group_version for resource in self._resources}
        known |= {"namespaces": "v1"}
        resources = [
            {
                "name": plural,
                "kind": plural,
                "singularName": "",
                "namespaced": True,
                "verbs": ["get", "list", "watch", "patch", "create", "delete"],
            }
            for plural, version in known.items()
            if version == wanted
        ]
        return web.json_response({"resources": resources}, status=200 if resources else 404)

    def _handler(self, plural: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            at = request.match_info
            if not self._authorizer.allows(request.method, request.path, request.query):
                return refuse(403, "the role does not allow it", "Forbidden")
            return await self.answer(request, plural, at.get("name", ""), at.get("sub", ""))

        return handle

    async def answer(
        self, request: web.Request, plural: str, name: str, sub: str
    ) -> web.StreamResponse:
        """Answer one request. Subclasses override it to delay or refuse requests."""
        match request.method:
            case "GET" if not name and request.query.get("watch") == "true":
                return await self._watch(request, plural)
            case "GET" if not name:
                return self._list(request, plural)
            case "POST":
                return await self._create(await request.json(), plural)
        old = self.objects[plural].get(name)
        if old is None or sub not in {"", "status"}:
            return refuse(404, f"{plural} {name} not found")
        if request.method == "GET":
            return web.json_response(old)
        return await self._write(request, plural, old)

    def _list(self, request: web.Request, plural: str) -> web.Response:
        selector = request.query.get("labelSelector", "")
        items = [one for one in self.objects[plural].values() if matches(one, selector)]
        meta = {"resourceVersion": str(self._version)}
        return web.json_response({"items": items, "metadata": meta})

    async def _create(self, body: Body, plural: str) -> web.Response:
        name = body["metadata"]["name"]
        if name in self.objects[plural]:
            return refuse(409, f'{plural} "{name}" already exists', "AlreadyExists")
        return web.json_response(await self.put(plural, body), status=201)

    async def _write(self, request: web.Request, plural: str, old: Body) -> web.Response:
        body = await request.json()
        meta = body.get("preconditions") or body.get("metadata") or {}
        for field in ("resourceVersion", "uid"):
            if meta.get(field) not in {None, old["metadata"][field]}:
                return refuse(409, f"the object has another {field}", "Conflict")
        if request.method == "DELETE":
            await self.delete(plural, old["metadata"]["name"])
            return web.json_response({"kind": "Status", "status": "Success"})
        if request.method == "PUT":
            kept = {"uid": old["metadata"]["uid"]}
            new = {**body, "metadata": {**body["metadata"], **kept}}
        else:
            new = merged(old, body)
        return web.json_response(await self.put(plural, new))

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse()
        queue: asyncio.Queue[Body | None] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        selector = request.query.get("labelSelector", "")
        for item in list(self.objects[plural].values()):
            if int(item["metadata"]["resourceVersion"]) > since and matches(item, selector):
                queue.put_nowait({"type": "MODIFIED", "object": item})
        entry = (plural, selector, queue)
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

    # --- changes by others ------------------------------------------------------------------

    async def put(self, plural: str, body: Body) -> Body:
        """Create or replace an object, and return it; the watches deliver the change."""
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

    async def patch(self, plural: str, name: str, body: Body) -> Body:
        """Merge-patch an object, as the operator or kubectl do, and return it."""
        return await self.put(plural, merged(self.objects[plural][name], body))

    async def delete(self, plural: str, name: str) -> None:
        """Delete an object; the watches deliver the deletion."""
        self._version += 1
        body = self.objects[plural].pop(name)
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        await self._tell(plural, {"type": "DELETED", "object": {**body, "metadata": meta}})

    async def template(self, qual_name: str, **spec: Any) -> None:
        """Create a CoreJobTemplate."""
        body = {
            "metadata": {"name": qual_name.lower().replace("_", "-")},
            "spec": {"qualName": qual_name, "author": "hans", **spec},
        }
        await self.put(TEMPLATES.plural, body)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition on the objects holds."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(condition)

    async def _tell(self, plural: str, event: Body) -> None:
        for kind, selector, queue in self._watches:
            if kind == plural and matches(event["object"], selector):
                queue.put_nowait(event)
        async with self.changed:
            self.changed.notify_all()


def merged(body: Any, patch: Any) -> Any:
    """Return `body` with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(body) if isinstance(body, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def refuse(code: int, message: str, reason: str = "Refused") -> web.Response:
    """Return an error response."""
    body = {"kind": "Status", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code)


def quota_contended() -> web.Response:
    """Return Kubernetes 1.37's response to a create that conflicts on a ResourceQuota."""
    words = (
        'Operation cannot be fulfilled on resourcequotas "count": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return refuse(409, words, "Conflict")


def quota_exceeded(plural: str, name: str = "l-425", group: str = "core4.io") -> web.Response:
    """Return Kubernetes' response to a create that exceeds a ResourceQuota."""
    counted = f"count/{plural}.{group}"
    words = (
        f'{plural}.{group} "{name}" is forbidden: exceeded quota: count, '
        f"requested: {counted}=1, used: {counted}=500, limited: {counted}=500"
    )
    return refuse(403, words, "Forbidden")


def matches(body: Body, selector: str) -> bool:
    """True if an object's labels match a selector."""
    labels = body["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True
