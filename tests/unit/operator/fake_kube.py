"""A small API server over real HTTP: versions, finalizers, owners and sub-resources."""

import copy
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tests.support.kubeapi import NAMESPACE, Body, matches, merged, refuse
from tests.support.rights import Authorizer

from corejob import ids

FINAL = {"complete", "error", "inactive", "killed"}


@dataclass
class Request:
    """What was asked: `PATCH corejobs/a/status`, and with which body."""

    method: str
    plural: str
    name: str | None
    sub: str | None
    body: Any
    query: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        return " ".join([self.method, "/".join(filter(None, (self.plural, self.name, self.sub)))])


@dataclass
class Refusal:
    """Requests of this method and kind are refused, so many times."""

    method: str
    plural: str
    code: int
    message: str
    times: int
    after: Callable[[], None] | None = field(default=None)
    body: Body | None = None

    def answer(self) -> web.Response:
        if self.body is not None:
            return web.json_response(self.body, status=self.code)
        return refuse(self.code, self.message)


class FakeKube:
    """Objects by kind and name; all that was asked of it; and refusals in store.

    Args:
        role: Requests that this role of the chart does not allow are refused, and fail the test.
    """

    def __init__(self, role: str = "operator") -> None:
        self._authorizer = Authorizer(role)
        self.objects: dict[str, dict[str, Body]] = {
            name: {}
            for name in ("corejobs", "corejobtemplates", "jobs", "pods", "events", "leases")
        }
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self.answers: dict[tuple[str, str], web.Response] = {}
        self.watchers: list[Callable[[str, str, Body], None]] = []
        self.page = 0
        self.url = ""
        self._version = 1000
        self._runner: web.AppRunner | None = None

    # --- what tests do ----------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        for root in ("/api/{version}", "/apis/{group}/{version}"):
            one = root + f"/namespaces/{NAMESPACE}" + "/{plural}"
            for path in (one, one + "/{name}", one + "/{name}/{sub}"):
                app.router.add_route("*", path, self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._authorizer.check()

    def put(self, plural: str, body: Body) -> Body:
        """Create or replace an object as somebody else; the watch tells of it."""
        self._version += 1
        meta = {
            "namespace": NAMESPACE,
            "uid": f"uid-{self._version}",
            "creationTimestamp": _created(body["metadata"]["name"]),
            "generation": 1,
            **body["metadata"],
            "resourceVersion": str(self._version),
        }
        kind = "MODIFIED" if meta["name"] in self.objects[plural] else "ADDED"
        stored = {**body, "metadata": meta}
        self.objects[plural][meta["name"]] = stored
        self._tell(plural, kind, stored)
        return stored

    def change(self, plural: str, name: str, patch: Body) -> Body:
        """Merge-patch an object as somebody else."""
        return self.put(plural, merged(self.objects[plural][name], patch))

    def remove(self, plural: str, name: str) -> None:
        """An object is gone, and what it owns with it."""
        self._version += 1
        body = self.objects[plural].pop(name)
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        self._tell(plural, "DELETED", {**body, "metadata": meta})
        for kind, objects in self.objects.items():
            for other in list(objects.values()):
                owners = other["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == meta["uid"] for owner in owners):
                    self.remove(kind, other["metadata"]["name"])

    def delete(self, plural: str, name: str) -> None:
        """Somebody deletes an object; a finalizer holds it."""
        body = self.objects[plural][name]
        if body["metadata"].get("finalizers"):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            meta = {"deletionTimestamp": body["metadata"].get("deletionTimestamp", now)}
            self.change(plural, name, {"metadata": meta})
        else:
            self.remove(plural, name)

    def refuse(
        self,
        method: str,
        plural: str,
        code: int,
        message: str = "no",
        *,
        times: int = 1,
        after: Callable[[], None] | None = None,
    ) -> None:
        """Refuse the next requests; with `after`, first let it happen (the answer is lost)."""
        self.refusals.append(Refusal(method, plural, code, message, times, after))

    def refuse_with(self, method: str, plural: str, answer: web.Response) -> None:
        """Answer the next request so."""
        self.answers[method, plural] = answer

    def answer(self, method: str, plural: str, body: Body, *, times: int = 1) -> None:
        """Refuse the next requests with a Status that a real API server gave."""
        code = body["code"]
        self.refusals.append(Refusal(method, plural, code, "", times, body=body))

    def asked(self, method: str, plural: str) -> list[Request]:
        """Requests of this method and kind, in order."""
        return [one for one in self.requests if (one.method, one.plural) == (method, plural)]

    def writes(self) -> list[str]:
        """All that was asked but reads and Events."""
        return [r.line for r in self.requests if r.method != "GET" and r.plural != "events"]

    def _tell(self, plural: str, kind: str, body: Body) -> None:
        for watcher in self.watchers:
            watcher(plural, kind, body)

    # --- the server -------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        at = request.match_info
        plural, name, sub = at["plural"], at.get("name"), at.get("sub")
        if not self._authorizer.allows(request.method, request.path, request.query):
            return refuse(403, "the role does not allow it", "Forbidden")
        body = await request.json() if request.can_read_body else None
        self.requests.append(Request(request.method, plural, name, sub, body, dict(request.query)))
        answer = self.answers.pop((request.method, plural), None)
        if answer is not None:
            return answer
        refusal = self._refusal(request.method, plural)
        if refusal is not None and refusal.after is None:
            return refusal.answer()
        match request.method:
            case "GET" if name is None:
                answer = self._list(plural, request)
            case "POST" if "dryRun" in request.query:
                answer = web.json_response(body, status=201)
            case "POST":
                answer = self._create(plural, body or {})
            case _:
                answer = self._one(request.method, plural, str(name), sub, body)
        if refusal is not None and refusal.after is not None:
            refusal.after()
            return refusal.answer()
        return answer

    def _refusal(self, method: str, plural: str) -> Refusal | None:
        for refusal in self.refusals:
            if (refusal.method, refusal.plural) == (method, plural) and refusal.times:
                refusal.times -= 1
                return refusal
        return None

    def _list(self, plural: str, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        fields = request.query.get("fieldSelector", "")
        items = [
            one
            for one in self.objects[plural].values()
            if matches(one, selector) and _of_uid(one, fields)
        ]
        meta = {"resourceVersion": str(self._version)}
        size = self.page or int(request.query["limit"])
        start = int(request.query.get("continue", "0"))
        if start + size < len(items):
            meta["continue"] = str(start + size)
        return web.json_response({"items": items[start : start + size], "metadata": meta})

    def _create(self, plural: str, body: Body) -> web.Response:
        name = body["metadata"]["name"]
        if name in self.objects[plural]:
            return refuse(409, f'{plural} "{name}" already exists', "AlreadyExists")
        meta = {**body["metadata"], "uid": f"uid-{secrets.token_hex(4)}"}
        return web.json_response(self.put(plural, {**body, "metadata": meta}), status=201)

    def _one(self, method: str, plural: str, name: str, sub: str | None, body: Any) -> web.Response:
        known = self.objects[plural].get(name)
        if known is None:
            return refuse(404, f'{plural} "{name}" not found')
        if method == "GET":
            return web.json_response(known)
        if method == "PATCH":
            return self._patch(plural, known, sub, body)
        wanted = (body or {}).get("preconditions", {}).get("uid")
        if wanted not in {None, known["metadata"]["uid"]}:
            return refuse(409, "the UID in the precondition does not match", "Conflict")
        self.delete(plural, name)
        return web.json_response({"kind": "Status", "status": "Success"})

    def _patch(self, plural: str, known: Body, sub: str | None, patch: Body) -> web.Response:
        name = known["metadata"]["name"]
        version = patch.get("metadata", {}).get("resourceVersion")
        if version not in {None, known["metadata"]["resourceVersion"]}:
            return refuse(409, "the object has been modified", "Conflict")
        allowed = {"status"} if sub == "status" else set(patch) - {"status"}
        new = copy.deepcopy(merged(known, {key: patch[key] for key in allowed & set(patch)}))
        old_state = (known.get("status") or {}).get("state")
        if old_state in FINAL and (new.get("status") or {}).get("state") != old_state:
            return refuse(422, "a final state can not be left")
        meta = new["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self.remove(plural, name)
            return web.json_response(new)
        if new == known:
            return web.json_response(known)
        if new.get("spec") != known.get("spec"):
            meta["generation"] = meta.get("generation", 1) + 1
        return web.json_response(self.put(plural, new))


def _created(name: str) -> str:
    """Now, but a CoreJob with an id as its name at the time of that."""
    moment = ids.created_at(name) if ids.is_id(name) else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_uid(body: Body, fields: str) -> bool:
    """The one field selector that the operator uses."""
    _, _, uid = fields.partition("regarding.uid=")
    return not fields or body["regarding"]["uid"] == uid
