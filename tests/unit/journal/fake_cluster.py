"""The API server that recorders talk to: status patches that fail, and logs that misbehave."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tests.support.kubeapi import DEADLINE, NAMESPACE, KubeApi, refuse

from corejob_kube.resources import COREJOBS, JOBS, LEASES, PODS, TEMPLATES

__all__ = ["BASE_NS", "DEADLINE", "NAMESPACE", "FakeCluster", "PodLog"]

BASE_NS = int(time.time()) * 10**9


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
        self.answer: dict[str, Any] | None = None  # the body of a refusal, as recorded
        self.previous: PodLog | None = None  # of the container's run before
        self.words = ""
        self.no_watcher = ""  # what a request to follow gets after the lines
        self.requests: list[dict[str, str]] = []
        self.served = 0
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

    def chunk(self, index: int, query: Mapping[str, str]) -> bytes:
        """What a request gets of the lines from an index on."""
        since, stamps, follow = query.get("sinceTime"), "timestamps" in query, "follow" in query
        least = int(datetime.fromisoformat(since).timestamp()) * 10**9 if since else 0
        chunk = b""
        for number, (stamp, body) in enumerate(self.lines[index:], index):
            if stamp >= least and not (follow and number in self.hidden):
                last = self.open_end and number == len(self.lines) - 1
                prefix = stamp_text(stamp).encode() + b" " if stamps else b""
                chunk += prefix + body + (b"" if last else b"\n")
        return chunk

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

    async def until_served(self, count: int) -> None:
        """Wait until so many connections were ended in good order."""
        async with asyncio.timeout(DEADLINE), self.asked:
            await self.asked.wait_for(lambda: self.served >= count)

    async def drop(self) -> None:
        """Cut all connections, without an end in good order."""
        self.closed.set()
        self.closed = asyncio.Event()
        await self.poke()


class FakeCluster(KubeApi):
    """Pods, CoreJobs and their logs, templates, and the Leases of recorders."""

    def __init__(self) -> None:
        super().__init__((PODS, COREJOBS, JOBS, LEASES, TEMPLATES), role="recorder")
        self.leases_away = False
        self.logs: dict[str, PodLog] = {}
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.patch_failures: list[int] = []
        self.refused_fields: set[str] = set()
        self.patch_gate = asyncio.Event()
        self.patch_gate.set()

    # --- the server -------------------------------------------------------------------------

    async def stop(self) -> None:
        for log in self.logs.values():
            await log.drop()
        await super().stop()

    async def answer(
        self, request: web.Request, plural: str, name: str, sub: str
    ) -> web.StreamResponse:
        if sub == "log":
            return await self._get_log(request)
        if plural == "leases" and self.leases_away and request.method in {"POST", "PATCH"}:
            return refuse(503, "away")
        if sub == "status":
            await self.patch_gate.wait()
            fields = (await request.json())["status"] if request.can_read_body else {}
            inner = {key for value in fields.values() if isinstance(value, dict) for key in value}
            if self.refused_fields & {*fields, *inner}:
                return refuse(422, "Invalid value")
            if self.patch_failures:
                return refuse(self.patch_failures.pop(0), "no")
            if name in self.objects["corejobs"]:
                self.patches.append((name, (await request.json())["status"]))
        return await super().answer(request, plural, name, sub)

    async def _get_log(self, request: web.Request) -> web.StreamResponse:
        log = self.logs.get(request.match_info["name"])
        if log is None:
            return refuse(404, "pods not found")
        if "previous" in request.query:
            if log.previous is None:
                text = 'previous terminated container "job" in pod "p" not found'
                return refuse(400, text, "BadRequest")
            log = log.previous
        log.requests.append(dict(request.query))
        async with log.asked:
            log.asked.notify_all()
        if log.answer is not None:
            return web.json_response(log.answer, status=log.answer["code"])
        if log.refusal is not None:
            return refuse(*log.refusal)
        response = web.StreamResponse()
        await response.prepare(request)
        if log.words:
            await response.write(log.words.encode())
            return response
        with suppress(ConnectionError):
            await self._stream(request, response, log)
            log.served += 1
            async with log.asked:
                log.asked.notify_all()
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, log: PodLog
    ) -> None:
        closed = log.closed
        follow, limit = "follow" in request.query, request.query.get("limitBytes")
        index = log.first
        while True:
            chunk = log.chunk(index, request.query)
            index = max(index, len(log.lines))
            if limit and chunk:
                await response.write(chunk[: int(limit)])
                return
            if log.cut_after is not None and len(chunk) > log.cut_after:
                await response.write(chunk[: log.cut_after])
                log.cut_after = None
                _abort(request)
                return
            if chunk:
                await response.write(chunk)
            if follow and log.no_watcher:
                await response.write(log.no_watcher.encode())
                return
            if log.ended or not follow:
                return
            async with log.changed:
                if index == len(log.lines) and not log.ended and not closed.is_set():
                    await log.changed.wait()
            if closed.is_set():
                _abort(request)
                return

    # --- what tests do ----------------------------------------------------------------------

    async def delete(self, plural: str, name: str) -> None:
        """Delete an object, and with a pod its log."""
        if plural == "pods":
            self.logs.pop(name, None)
        await super().delete(plural, name)

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
        await self.patch("corejobs", job_id, {"status": status})

    async def add_pod(
        self,
        job_id: str,
        *,
        trial: int = 1,
        runtime: str = "core4",
        attempts_left: int = 1,
        name: str = "",
        state: dict[str, Any] | None = None,
        node: str = "node-1",
    ) -> PodLog:
        """A running pod; its log."""
        name = name or f"{job_id}-{trial}"
        labels = {"core4.io/corejob": job_id, "core4.io/trial": str(trial)}
        owner = await self.add_batch_job(job_id, trial)
        body = {
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "creationTimestamp": "2026-11-24T00:00:00Z",
                "labels": labels,
                "ownerReferences": [owner],
                "annotations": {
                    "core4.io/id": job_id,
                    "core4.io/qual-name": "a.Job",
                    "core4.io/runtime": runtime,
                    "core4.io/attempts-left": str(attempts_left),
                    "core4.io/username": "hans",
                },
            },
            "spec": {"nodeName": node, "containers": [{"name": "job"}]},
            "status": _pod_status(state or {"running": {"startedAt": "2026-11-24T01:00:00Z"}}),
        }
        log = self.logs[name] = PodLog()
        await self.put("pods", body)
        return log

    async def add_batch_job(self, job_id: str, trial: int) -> dict[str, Any]:
        """The Job of a trial; a reference to it."""
        name, owner = f"{job_id}-{trial}", self.objects["corejobs"].get(job_id)
        meta: dict[str, Any] = {"name": name, "uid": f"uid-of-job-{name}"}
        if owner is not None:
            uid = owner["metadata"]["uid"]
            meta["ownerReferences"] = [{"kind": "CoreJob", "uid": uid, "controller": True}]
        if name not in self.objects["jobs"]:
            await self.put("jobs", {"metadata": meta})
        return {"kind": "Job", "name": name, "uid": meta["uid"], "controller": True}

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

    async def settled(self, job_id: str, trial: int = 1) -> dict[str, Any]:
        """Wait for the recorder to call a trial's log complete; `status.log`."""

        def complete() -> bool:
            log = self.log_status(job_id)
            return bool(log.get("complete")) and log.get("trial") == trial

        await self.until(complete)
        return self.log_status(job_id)


def _pod_status(state: dict[str, Any]) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "job", "state": state}]}


def _abort(request: web.Request) -> None:
    if request.transport is not None:  # else the client has gone itself
        request.transport.abort()
