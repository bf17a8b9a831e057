"""Routing of a method and a path to a handler (docs/rest.md).

One table of routes (`corejob_api.routes`) is the source of Falcon's routes, of the rule for the
first path part below `/job`, and of the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from falcon.asgi import App, Request, Response

from corejob import ids
from corejob_api.http import body, call
from corejob_api.http.errors import ApiError, bad_request

BASE: Final = "/core4/api/v1"
JOB: Final = "/job"
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")
_ID: Final = "{job_id}"
_MOST_PARTS: Final = 2
"""Maximum number of parts of a path below `JOB`."""

Handler = Callable[..., Awaitable[None]]
"""Handle a request; arguments are request, response and, where the path has it, `job_id`."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    Attributes:
        method: HTTP method.
        path: Path below `BASE`.
        handle: The handler.
        summary: One sentence for the OpenAPI document.
        arguments: Names of its arguments, see `corejob_api.openapi`.
        answer: Form of its answer, see `corejob_api.openapi`.
        errors: Statuses of its errors, in addition to those of every route.
        public: True if it requires no authentication.
        unrestricted: True if it requires no permission to call the API.
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
        """Maximum size of a request's body, in bytes."""
        if "args" in self.arguments:
            return body.MAX_BODY
        return body.MAX_BODY_WITH_FILTER if "filter" in self.arguments else body.MAX_BODY_OF_OTHERS


class Authenticator(Protocol):
    """Authenticates and authorises requests (`corejob_api.auth.middleware`)."""

    async def authenticate(self, req: Request, resp: Response) -> None:
        """Authenticate the request and record its user in its `Call`.

        Raises:
            ApiError: 401, not authenticated; 429, too many sign-ins.
        """

    def authorise(self, route: Route, req: Request) -> None:
        """Check that the user may call the route.

        Raises:
            ApiError: 403, the user may not call the API with this method; 503, the caches are not
                synced yet.
        """


class Endpoint:
    """Falcon resource of one path; it serves all methods.

    Attributes:
        public: True if none of its routes requires authentication.
    """

    def __init__(self, authentication: Authenticator, routes: Iterable[Route]) -> None:
        self._authentication = authentication
        self._routes = {route.method: route for route in routes}
        self.public = all(route.public for route in self._routes.values())

    def most_body(self, method: str, _params: Mapping[str, str]) -> int:
        """Return the maximum size of a request's body, in bytes."""
        return _most_body(self._routes.get(method))

    async def serve(self, req: Request, resp: Response) -> None:
        """Answer a request of any method; 405 if the path has no such method."""
        if not self.public:
            await self._authentication.authenticate(req, resp)
        route = self._routes.get(req.method)
        if route is None:
            raise unknown_action(req.method, req.path.rsplit("/", 1)[-1])
        await _call(self._authentication, route, req, resp)

    on_get = on_post = on_put = on_delete = on_patch = serve


class JobTree:
    """Falcon resource of `/job` and below; the first part is an action or a job id."""

    public: Final = False

    def __init__(self, authentication: Authenticator, routes: Iterable[Route]) -> None:
        self._authentication = authentication
        self._actions = {_action(route): route for route in routes}

    def most_body(self, method: str, params: Mapping[str, str]) -> int:
        """Return the maximum size of a request's body, in bytes; `params` are its path's parts."""
        return _most_body(self._actions.get((method, params.get("first"))))

    async def serve(
        self, req: Request, resp: Response, first: str | None = None, second: str | None = None
    ) -> None:
        """Answer a request of any method."""
        await self._authentication.authenticate(req, resp)
        route, parts = self._find(req.method, first, second)
        await _call(self._authentication, route, req, resp, **parts)

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


async def _call(
    authentication: Authenticator, route: Route, req: Request, resp: Response, **parts: str
) -> None:
    """Call the route's handler if the user may."""
    call.of(req).route = route.path
    authentication.authorise(route, req)
    await route.handle(req, resp, **parts)


def _most_body(route: Route | None) -> int:
    return body.MAX_BODY_OF_OTHERS if route is None else route.most_body


class AllowedMethods:
    """Methods of each URL; every URL has OPTIONS.

    Args:
        routes: All routes below `BASE`.
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
        """Return the methods of a path in the form of the header `Allow`."""
        tree = BASE + JOB
        if path == tree or path.startswith(tree + "/"):
            offered = self._below_job(path.removeprefix(tree).split("/")[1:])
        else:
            offered = self._paths.get(path, set())
        return ", ".join([*(method for method in METHODS if method in offered), "OPTIONS"])

    def _below_job(self, parts: list[str]) -> set[str]:
        """Return the methods that `JobTree` finds, including those it answers with 400 or 404."""
        if len(parts) == 1 and ids.is_id(parts[0].lower()):
            return {"GET"}
        first = parts[0] if parts else None
        if len(parts) > _MOST_PARTS or first == _ID:
            return set()
        return {method for method in METHODS if (method, first) in self._actions}


def unknown_action(method: str, action: str) -> ApiError:
    """Return a 405: the method has no such action."""
    return ApiError(405, f"unknown action {method} [{action[:100]}]")


def _action(route: Route) -> tuple[str, str | None]:
    """Return the method and the first part below `/job` of a route; None if there is no part."""
    first = route.path.removeprefix(JOB).lstrip("/").split("/")[0]
    return route.method, first or None


def is_below_job(route: Route) -> bool:
    """Return True if a route is `/job` or below, and so belongs to `JobTree`."""
    return route.path == JOB or route.path.startswith(JOB + "/")


def add_routes(app: App[Any, Any], authentication: Authenticator, routes: Iterable[Route]) -> None:
    """Add the routes to the Falcon application."""
    paths: dict[str, list[Route]] = {}
    tree: list[Route] = []
    for route in routes:
        if is_below_job(route):
            tree.append(route)
        else:
            paths.setdefault(route.path, []).append(route)
    for path, same in paths.items():
        app.add_route(BASE + path, Endpoint(authentication, same))
    jobs = JobTree(authentication, tree)
    for path in (JOB, JOB + "/{first}", JOB + "/{first}/{second}"):
        app.add_route(BASE + path, jobs)
