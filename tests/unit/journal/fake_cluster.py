"""A small API server over real HTTP: list and watch, status patches, and logs that misbehave."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

NAMESPACE = "jobs"
BASE_NS = int(time.time()) * 10**9
DEADLINE = 15.0


def stamp_text(ns: int) -> str:
    second = datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{second}.{ns % 10**9:09}Z"


class PodLog:
    """What the kubelet has of a container's log."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.first = 0
        self.ended = False
        self.open_end = False  # whether the last line has no line end
        self.refusal: tuple[int, str] | None = None
        self.words = ""
        self.requests: list[dict[str, str]] = []
        self.asked = asyncio.Condition()
        self.closed: asyncio.Event = asyncio.Event()
        self.changed = asyncio.Condition()
        self.cut_after: int | None = None
        self.hidden: set[int] = set()  # indices that a followed log leaves out
        self._clock = BASE_NS

    async def write(self, *bodies: bytes | str, after: int = 1000) -> None:
        """Append lines, now, but at least so many ns after the one before."""
        for body in bodies:
            self._clock = max(self._clock + after, time.time_ns())
            raw = body.encode() if isinstance(body, str) else body
            self.lines.append((self._clock, raw))
        await self.poke()

    async def poke(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def end(self) -> None:
        """The container has ended."""
        self.ended = True
        await self.poke()

    async def until_asked(self, count: int) -> None:
        """Wait until the log was asked for so many times."""
        async with asyncio.timeout(DEADLINE), self.asked:
            await self.asked.wait_for(lambda: len(self.requests) >= count)

    async def drop(self) -> None:
        """Cut all connections, without an end in good order."""
        self.closed.set()
        self.closed = asyncio.Event()
        await self.poke()


class FakeCluster:
    """Pods, CoreJobs and their logs."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "pods": {},
            "corejobs": {},
            "leases": {},
        }
        self.leases_away = False
        self.logs: dict[str, PodLog] = {}
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.patch_failures: list[int] = []
        self.patch_gate = asyncio.Event()
        self.patch_gate.set()
        self.changed = asyncio.Condition()
        self._version = 100
        self._watches: list[tuple[str, asyncio.Queue[Any]]] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    # --- the server -------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        core, ours = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/core4.io/v1/namespaces/{NAMESPACE}"
        app.router.add_get(core + "/pods", self._collection("pods"))
        app.router.add_get(ours + "/corejobs", self._collection("corejobs"))
        app.router.add_get(core + "/pods/{name}", self._get_pod)
        app.router.add_get(core + "/pods/{name}/log", self._get_log)
        app.router.add_patch(ours + "/corejobs/{name}/status", self._patch)
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        app.router.add_get(leases, self._collection("leases"))
        app.router.add_post(leases, self._put_lease)
        app.router.add_patch(leases + "/{name}", self._put_lease)
        app.router.add_delete(leases + "/{name}", self._delete_lease)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for _, queue in self._watches:
            queue.put_nowait(None)
        for log in self.logs.values():
            await log.drop()
        assert self._runner is not None
        await self._runner.cleanup()

    def _collection(self, plural: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            selector = request.query.get("labelSelector", "")
            if request.query.get("watch") != "true":
                items = [o for o in self.objects[plural].values() if _matches(o, selector)]
                meta = {"resourceVersion": str(self._version)}
                return web.json_response({"items": items, "metadata": meta})
            response = web.StreamResponse()
            queue: asyncio.Queue[Any] = asyncio.Queue()
            since = int(request.query["resourceVersion"])
            for item in list(self.objects[plural].values()):
                if int(item["metadata"]["resourceVersion"]) > since:
                    queue.put_nowait({"type": "MODIFIED", "object": item})
            entry = (plural, queue)
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

        return handle

    async def _get_pod(self, request: web.Request) -> web.Response:
        body = self.objects["pods"].get(request.match_info["name"])
        return web.json_response(body) if body else _refuse(404, "not found")

    async def _patch(self, request: web.Request) -> web.Response:
        await self.patch_gate.wait()
        name = request.match_info["name"]
        if self.patch_failures:
            return _refuse(self.patch_failures.pop(0), "no")
        body = self.objects["corejobs"].get(name)
        if body is None:
            return _refuse(404, "not found")
        patch = await request.json()
        self.patches.append((name, patch["status"]))
        await self.put("corejobs", _merged(body, patch))
        return web.json_response(self.objects["corejobs"][name])

    async def _put_lease(self, request: web.Request) -> web.Response:
        if self.leases_away:
            return _refuse(503, "away")
        sent = await request.json()
        name = request.match_info.get("name")
        if name is not None and name not in self.objects["leases"]:
            return _refuse(404, "not found")
        known = self.objects["leases"].get(name or "", {})
        body = _merged(known, sent)
        await self.put("leases", body)
        return web.json_response(self.objects["leases"][body["metadata"]["name"]])

    async def _delete_lease(self, request: web.Request) -> web.Response:
        if request.match_info["name"] not in self.objects["leases"]:
            return _refuse(404, "not found")
        await self.delete("leases", request.match_info["name"])
        return web.json_response({})

    async def _get_log(self, request: web.Request) -> web.StreamResponse:
        log = self.logs.get(request.match_info["name"])
        if log is None:
            return _refuse(404, "pods not found")
        log.requests.append(dict(request.query))
        async with log.asked:
            log.asked.notify_all()
        if log.refusal is not None:
            return _refuse(*log.refusal)
        response = web.StreamResponse()
        await response.prepare(request)
        if log.words:
            await response.write(log.words.encode())
            return response
        with suppress(ConnectionError):
            await self._stream(request, response, log)
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, log: PodLog
    ) -> None:
        closed = log.closed
        since = request.query.get("sinceTime")
        least = 0
        follow = "follow" in request.query
        if since:
            least = int(datetime.fromisoformat(since).timestamp()) * 10**9
        index = log.first
        while True:
            chunk = b""
            while index < len(log.lines):
                stamp, body = log.lines[index]
                index += 1
                if stamp >= least and not (follow and index - 1 in log.hidden):
                    last = log.open_end and index == len(log.lines)
                    chunk += stamp_text(stamp).encode() + b" " + body + (b"" if last else b"\n")
            if log.cut_after is not None and len(chunk) > log.cut_after:
                await response.write(chunk[: log.cut_after])
                log.cut_after = None
                _abort(request)
                return
            if chunk:
                await response.write(chunk)
            if log.ended or not follow:
                return
            async with log.changed:
                if index == len(log.lines) and not log.ended and not closed.is_set():
                    await log.changed.wait()
            if closed.is_set():
                _abort(request)
                return

    # --- what tests do ----------------------------------------------------------------------

    async def put(self, plural: str, body: dict[str, Any]) -> None:
        """Create or replace an object."""
        self._version += 1
        meta = {**body["metadata"], "resourceVersion": str(self._version), "namespace": NAMESPACE}
        body = {**body, "metadata": meta}
        self.objects[plural][meta["name"]] = body
        await self._tell(plural, {"type": "MODIFIED", "object": body})

    async def delete(self, plural: str, name: str) -> None:
        """Delete an object, and with a pod its log."""
        self._version += 1
        body = self.objects[plural].pop(name)
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        if plural == "pods":
            self.logs.pop(name, None)
        await self._tell(plural, {"type": "DELETED", "object": {**body, "metadata": meta}})

    async def _tell(self, plural: str, event: dict[str, Any]) -> None:
        for kind, queue in self._watches:
            if kind == plural:
                queue.put_nowait(event)
        async with self.changed:
            self.changed.notify_all()

    async def add_job(self, job_id: str, **status: Any) -> None:
        """A CoreJob."""
        spec = {"qualName": "a.Job", "username": "hans", "args": {}}
        body = {
            "apiVersion": "core4.io/v1",
            "kind": "CoreJob",
            "metadata": {
                "name": job_id,
                "uid": f"uid-{job_id}",
                "creationTimestamp": "2026-11-24T00:00:00Z",
            },
            "spec": {**spec, **status.pop("spec", {})},
            "status": {"id": job_id, "state": "running", "trial": 1, **status},
        }
        await self.put("corejobs", body)

    async def add_recorder(self, identity: str) -> None:
        """The pod that a recorder of that name runs in."""
        meta = {"name": identity, "uid": identity, "creationTimestamp": "2026-11-24T00:00:00Z"}
        await self.put("pods", {"metadata": meta, "spec": {}, "status": {}})

    async def set_job(self, job_id: str, **status: Any) -> None:
        """Change a CoreJob's status."""
        await self.put("corejobs", _merged(self.objects["corejobs"][job_id], {"status": status}))

    async def add_pod(
        self,
        job_id: str,
        *,
        trial: int = 1,
        runtime: str = "core4",
        attempts_left: int = 1,
        name: str = "",
        state: dict[str, Any] | None = None,
    ) -> PodLog:
        """A running pod; its log."""
        name = name or f"{job_id}-{trial}"
        labels = {"core4.io/corejob": job_id, "core4.io/trial": str(trial)}
        body = {
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "creationTimestamp": "2026-11-24T00:00:00Z",
                "labels": labels,
                "annotations": {
                    "core4.io/id": job_id,
                    "core4.io/qual-name": "a.Job",
                    "core4.io/runtime": runtime,
                    "core4.io/attempts-left": str(attempts_left),
                    "core4.io/username": "hans",
                },
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "job"}]},
            "status": _pod_status(state or {"running": {"startedAt": "2026-11-24T01:00:00Z"}}),
        }
        log = self.logs[name] = PodLog()
        await self.put("pods", body)
        return log

    async def end_pod(self, name: str, code: int, *, reason: str = "Error", **more: Any) -> None:
        """The container has ended, and its log with it."""
        ended = {
            "exitCode": code,
            "reason": reason,
            "startedAt": "2026-11-24T01:00:00Z",
            "finishedAt": "2026-11-24T01:00:07Z",
            **more,
        }
        body = self.objects["pods"][name]
        phase = "Succeeded" if code == 0 else "Failed"
        status = {**_pod_status({"terminated": ended}), "phase": phase}
        await self.put("pods", {**body, "status": status})
        await self.logs[name].end()

    def log_status(self, job_id: str) -> dict[str, Any]:
        """`status.log` of a CoreJob."""
        body = self.objects["corejobs"][job_id]
        return dict(body["status"].get("log") or {})

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something about the objects is so."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(condition)

    async def settled(self, job_id: str, trial: int = 1) -> dict[str, Any]:
        """Wait for the recorder to call a trial's log complete; `status.log`."""

        def complete() -> bool:
            log = self.log_status(job_id)
            return bool(log.get("complete")) and log.get("trial") == trial

        await self.until(complete)
        return self.log_status(job_id)


def _pod_status(state: dict[str, Any]) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "job", "state": state}]}


def _matches(body: dict[str, Any], selector: str) -> bool:
    labels = body["metadata"].get("labels", {})
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(body, dict):
        return patch
    merged = {**body}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key, {}), value)
    return merged


def _abort(request: web.Request) -> None:
    if request.transport is not None:  # else the client has gone itself
        request.transport.abort()


def _refuse(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "reason": "Refused", "message": message, "code": code}
    return web.json_response(body, status=code)
