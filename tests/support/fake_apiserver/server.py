"""The fake API server."""

import math
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from aiohttp import web
from tests.support.fake_apiserver.faults import Faults, Request
from tests.support.fake_apiserver.http import HttpServer
from tests.support.fake_apiserver.logs import PodLog
from tests.support.fake_apiserver.objects import NAMESPACE, RESOURCES, Body, ObjectStore
from tests.support.fake_apiserver.statuses import ApiError
from tests.support.fake_apiserver.watches import Change, WatchHub
from tests.support.rights import Authorizer

from corejob_kube.resources import Resource

_MERGE_PATCH = "application/merge-patch+json"


class FakeApiServer(ObjectStore, Faults):
    """A fake API server with one namespace.

    Args:
        role: role of the chart. Requests that it does not allow are refused, and fail the test.
        resources: the kinds that it serves.

    Attributes:
        url: where it listens, after `start`.
        requests: all requests that the role allows, in the order in which they arrived.
        served: those that no fault kept from being carried out, in the order of that.
        logs: logs of pods by name.
        page: maximum number of objects in a page of a list; 0 leaves it to the client.
    """

    def __init__(self, role: str, resources: Sequence[Resource] = RESOURCES) -> None:
        ObjectStore.__init__(self, resources)
        Faults.__init__(self)
        self.url = ""
        self.requests: list[Request] = []
        self.served: list[Request] = []
        self.logs: dict[str, PodLog] = {}
        self.page = 0
        self.watches = WatchHub()
        self._authorizer = Authorizer(role)
        self._paths = {
            resource.path(NAMESPACE).removeprefix("/"): resource.plural for resource in resources
        }
        self._group_versions = {one.plural: one.group_version for one in resources}
        self._pages: dict[str, tuple[str, list[Body]]] = {}
        self._http = HttpServer(self._handle)

    async def start(self) -> None:
        """Listen on a free port."""
        self.url = await self._http.start()

    async def stop(self) -> None:
        """End the watches, close, and fail if the role did not allow a request."""
        self.watches.end_all()
        for log in self.logs.values():
            await log.drop()
        await self._http.stop()
        self._authorizer.check()

    def requested(self, method: str, plural: str) -> list[Request]:
        """Return the requests with this method for this kind, in order."""
        return [one for one in self.requests if (one.method, one.plural) == (method, plural)]

    def writes(self) -> list[str]:
        """Return the lines of all requests but reads and Events."""
        return [one.line for one in self.requests if one.method != "GET" and one.plural != "events"]

    def compact(self) -> None:
        """Forget the changes so far: a watch from an older version gets 410 Expired."""
        self.watches.compact(self.version)

    def send_bookmarks(self) -> None:
        """Send the current version to all watches that allow bookmarks."""
        self.watches.send_bookmarks(self.version)

    def _deliver(self, plural: str, kind: str, body: Body, old: Body | None) -> None:
        self.watches.deliver(Change(plural, kind, body, old))
        super()._deliver(plural, kind, body, old)

    # --- requests ---------------------------------------------------------------------------

    async def _handle(self, raw: web.Request) -> web.StreamResponse:
        parts = raw.path.strip("/").split("/")
        # `api/v1/namespaces/<namespace>/<plural>`, or one part more for a group.
        depth = 5 if parts[0] == "api" else 6
        plural = self._paths.get("/".join(parts[:depth]))
        if plural is None:
            return self._discover(raw.path)
        if not self._authorizer.allows(raw.method, raw.path, raw.query):
            return ApiError(403, "the role does not allow it", "Forbidden").response()
        name, sub = (*parts[depth:], "", "")[:2]
        body = await raw.json() if raw.can_read_body else None
        request = Request(raw.method, plural, name, sub, body, dict(raw.query))
        self.requests.append(request)
        await self.wait(request)
        if self.intercept is not None and (response := self.intercept(request)) is not None:
            return response
        refusal = self.refusal(request)
        if refusal is not None and refusal.after is None:
            return refusal.response()
        answer = await self._carry_out(raw, request)
        self.served.append(request)
        if refusal is not None and refusal.after is not None:
            refusal.after()
            return refusal.response()
        return answer

    async def _carry_out(self, raw: web.Request, request: Request) -> web.StreamResponse:
        plural, name = request.plural, request.name
        if request.method == "GET" and not name and request.query.get("watch") == "true":
            selected = self.select(plural, labels=request.query.get("labelSelector", ""))
            return await self.watches.serve(raw, plural, selected)
        if request.sub == "log":
            if name not in self.logs:
                return ApiError(404, f'pods "{name}" not found', "NotFound").response()
            return await self.logs[name].serve(raw)
        if request.method == "PATCH" and raw.content_type != _MERGE_PATCH:
            return ApiError(415, "only merge patches", "UnsupportedMediaType").response()
        try:
            return self._answer(request)
        except ApiError as error:
            return error.response()

    def _answer(self, request: Request) -> web.Response:
        plural, name, body = request.plural, request.name, request.body
        if request.sub not in {"", "status"}:
            raise ApiError(404, "the server could not find the requested resource", "NotFound")
        match request.method:
            case "GET" if not name:
                return web.json_response(self._list(request))
            case "GET":
                return web.json_response(self.find(plural, name))
            case "POST" if "dryRun" in request.query:
                return web.json_response(body, status=201)
            case "POST":
                return web.json_response(self.create(plural, body), status=201)
            case "PUT":
                return web.json_response(self.update(plural, name, body, sub=request.sub))
            case "PATCH":
                return web.json_response(self.patch(plural, name, body, sub=request.sub))
        self.delete_if(plural, name, (body or {}).get("preconditions") or {})
        # An object with finalizers stays, and is the answer.
        stays = self.objects[plural].get(name)
        return web.json_response(stays or {"kind": "Status", "status": "Success"})

    def _list(self, request: Request) -> Body:
        """Return one page of a list; further pages are of the same version."""
        query = request.query
        if "continue" in query:
            version, items = self._pages.pop(query["continue"])
        else:
            version = str(self.version)
            items = self.select(
                request.plural,
                labels=query.get("labelSelector", ""),
                fields=query.get("fieldSelector", ""),
            )
        size = self.page or int(query.get("limit", 0)) or math.inf
        meta = {"resourceVersion": version}
        if len(items) > size:
            meta["continue"] = uuid4().hex
            self._pages[meta["continue"]] = (version, items[int(size) :])
            items = items[: int(size)]
        return {"items": items, "metadata": meta}

    def _discover(self, path: str) -> web.Response:
        """Answer API discovery, as kopf requests it."""
        versions = sorted({one for one in self._group_versions.values() if "/" in one})
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/apis":
            served = [{"groupVersion": one, "version": one.partition("/")[2]} for one in versions]
            groups = [
                {
                    "name": one["groupVersion"].partition("/")[0],
                    "versions": [one],
                    "preferredVersion": one,
                }
                for one in served
            ]
            return web.json_response({"groups": groups})
        wanted = path.removeprefix("/apis/").removeprefix("/api/")
        resources = [
            _resource(plural)
            for plural, group_version in {**self._group_versions, "namespaces": "v1"}.items()
            if group_version == wanted
        ]
        if not resources:
            return ApiError(404, f"{path} not found", "NotFound").response()
        return web.json_response({"resources": resources})


def _resource(plural: str) -> dict[str, Any]:
    return {
        "name": plural,
        "kind": plural,
        "singularName": "",
        "namespaced": True,
        "verbs": ["get", "list", "watch", "patch", "create", "delete"],
    }
