"""From a method and a path to what handles them (contract section 2).

Everything follows from one table of routes (`corejob_api.routes`): what Falcon gets to know, the
rule of the first path part below `/job`, and the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from falcon.asgi import App, Request, Response

from corejob import ids
from corejob_api import body, call
from corejob_api.errors import ApiError, bad_request, forbidden, unavailable
from corejob_api.signin import SignIn, renew

BASE: Final = "/core4/api/v1"
JOB: Final = "/job"
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")
_ID: Final = "{job_id}"
_MOST_PARTS: Final = 2
"""Of a path below `JOB`."""

Handler = Callable[..., Awaitable[None]]
"""Called with request and response, and with `job_id` where the path has it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that the API does.

    Attributes:
        path: Below `BASE`.
        summary: One sentence for the OpenAPI document.
        arguments: Names of its arguments, see `corejob_api.openapi`.
        answer: The form of its answer, see there.
        errors: The statuses of its errors, beside those of every route.
        public: Whether it needs no sign-in.
        unrestricted: Whether it needs no permission to call the API.
    """

    method: str
    path: str
    handle: Handler = field(compare=False)
    summary: str
    arguments: tuple[str, ...] = ()
    answer: str = "data"
    errors: tuple[int, ...] = ()
    public: bool = False
    unrestricted: bool = False

    @property
    def most_body(self) -> int:
        """How many bytes the body of a request may have."""
        if "args" in self.arguments:
            return body.MAX_BODY
        return body.MAX_BODY_WITH_FILTER if "filter" in self.arguments else body.MAX_BODY_OF_OTHERS


class Gate:
    """Who may pass, and whether there is anything to see yet.

    Args:
        sign_in: Finds out who sends a request.
        is_ready: Whether the caches are filled.
    """

    def __init__(self, sign_in: SignIn, is_ready: Callable[[], bool]) -> None:
        self._sign_in = sign_in
        self._is_ready = is_ready

    async def identify(self, req: Request, resp: Response) -> None:
        """Note who sends the request.

        Raises:
            ApiError: 401.
        """
        current = call.of(req)
        identity = await self._sign_in.identify(req, current.arguments)
        current.user, current.token_expires = identity.user, identity.token_expires
        renew(req, resp, identity)

    async def run(self, route: Route, req: Request, resp: Response, **parts: str) -> None:
        """Let the route answer.

        Raises:
            ApiError: 403, the user may not call the API so; 503, the caches are not filled yet.
        """
        call.of(req).route = route.path
        if not (route.public or route.unrestricted):
            user = call.user_of(req)
            if not user.may_call(req.method):
                raise forbidden(f"no permission to call the API with {req.method}")
            if not self._is_ready():
                raise unavailable("the service has just started and is reading the queue")
        await route.handle(req, resp, **parts)


class Endpoint:
    """One path: a resource of Falcon's that knows all methods.

    Attributes:
        public: Whether all its routes need no sign-in.
    """

    def __init__(self, gate: Gate, routes: Iterable[Route]) -> None:
        self._gate = gate
        self._routes = {route.method: route for route in routes}
        self.public = all(route.public for route in self._routes.values())

    def most_body(self, method: str, _params: Mapping[str, str]) -> int:
        """How many bytes the body of a request may have."""
        return _most_body(self._routes.get(method))

    async def serve(self, req: Request, resp: Response) -> None:
        """Answer, whatever the method."""
        if not self.public:
            await self._gate.identify(req, resp)
        route = self._routes.get(req.method)
        if route is None:
            raise unknown_action(req.method, req.path.rsplit("/", 1)[-1])
        await self._gate.run(route, req, resp)

    on_get = on_post = on_put = on_delete = on_patch = serve


class JobTree:
    """`/job` and what is below: the first part is an action of the method, or a job's id."""

    public: Final = False

    def __init__(self, gate: Gate, routes: Iterable[Route]) -> None:
        self._gate = gate
        self._actions = {_action(route): route for route in routes}

    def most_body(self, method: str, params: Mapping[str, str]) -> int:
        """How many bytes the body of a request may have; `params` are the parts of its path."""
        return _most_body(self._actions.get((method, params.get("first"))))

    async def serve(
        self, req: Request, resp: Response, first: str | None = None, second: str | None = None
    ) -> None:
        """Answer, whatever the method."""
        await self._gate.identify(req, resp)
        route, parts = self._find(req.method, first, second)
        await self._gate.run(route, req, resp, **parts)

    on_get = on_post = on_put = on_delete = on_patch = serve

    def _find(
        self, method: str, first: str | None, second: str | None
    ) -> tuple[Route, Mapping[str, str]]:
        if first is not None and second is None and method == "GET" and ids.is_id(first.lower()):
            return self._actions[method, _ID], {"job_id": first}
        route = self._actions.get((method, first)) if first != _ID else None
        if route is None:
            raise unknown_action(method, first or "")
        takes_id = route.path.endswith(_ID)
        if takes_id and not second:
            raise bad_request("missing job _id")
        if not takes_id and second is not None:
            raise ApiError(404, f"URL [{BASE}{JOB}/{first}/…] not found")
        return route, {"job_id": second} if takes_id and second else {}


def _most_body(route: Route | None) -> int:
    return body.MAX_BODY_OF_OTHERS if route is None else route.most_body


class Offered:
    """Which methods each URL has; OPTIONS has every one.

    Args:
        routes: All that there are, below `BASE`.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._paths: dict[str, set[str]] = {}
        self._actions: set[tuple[str, str | None]] = set()
        for route in routes:
            if is_below_job(route):
                self._actions.add(_action(route))
            else:
                self._paths.setdefault(BASE + route.path, set()).add(route.method)

    def methods(self, path: str) -> str:
        """The methods of a path as header `Allow` says them."""
        tree = BASE + JOB
        if path == tree or path.startswith(tree + "/"):
            found = self._below_job(path.removeprefix(tree).split("/")[1:])
        else:
            found = self._paths.get(path, set())
        return ", ".join([*(method for method in METHODS if method in found), "OPTIONS"])

    def _below_job(self, parts: list[str]) -> set[str]:
        """As `JobTree` finds them; what it answers 400 or 404 is a method of the URL."""
        if len(parts) == 1 and ids.is_id(parts[0].lower()):
            return {"GET"}
        first = parts[0] if parts else None
        if len(parts) > _MOST_PARTS or first == _ID:
            return set()
        return {method for method in METHODS if (method, first) in self._actions}


def unknown_action(method: str, action: str) -> ApiError:
    """405: there is no such action of that method."""
    return ApiError(405, f"unknown action {method} [{action[:100]}]")


def _action(route: Route) -> tuple[str, str | None]:
    """Method and first part of a route below `/job`; no part is None."""
    first = route.path.removeprefix(JOB).lstrip("/").split("/")[0]
    return route.method, first or None


def is_below_job(route: Route) -> bool:
    """Whether a route belongs to the tree."""
    return route.path == JOB or route.path.startswith(JOB + "/")


def add_routes(app: App[Any, Any], gate: Gate, routes: Iterable[Route]) -> None:
    """Make the routes known to Falcon."""
    paths: dict[str, list[Route]] = {}
    tree: list[Route] = []
    for route in routes:
        if is_below_job(route):
            tree.append(route)
        else:
            paths.setdefault(route.path, []).append(route)
    for path, same in paths.items():
        app.add_route(BASE + path, Endpoint(gate, same))
    jobs = JobTree(gate, tree)
    for path in (JOB, JOB + "/{first}", JOB + "/{first}/{second}"):
        app.add_route(BASE + path, jobs)
