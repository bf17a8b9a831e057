"""Middleware of every request: call data and metrics, security headers, arguments, CORS."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from falcon.asgi import Request, Response

from corejob import ids
from corejob_api import arguments, body
from corejob_api.arguments import Arguments
from corejob_api.call import Call
from corejob_api.errors import ApiError
from corejob_api.metrics import Metrics
from corejob_api.routing import METHODS, Endpoint, JobTree, Offered
from corejob_api.signin import SignIn
from corejob_kube.timing import Clock

log = logging.getLogger(__name__)

_METHODS: Final = "GET, POST, PUT, OPTIONS"
_HEADERS: Final = "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_DAY: Final = "86400"
_NO_ROUTE: Final = "none"
_LABELED: Final = frozenset({*METHODS, "HEAD", "OPTIONS"})
"""Method labels, a closed set: a method may be any word of up to 64 KiB, and labels are kept."""
_OTHER: Final = "other"
_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class Calls:
    """Gives each request its `Call` and records its outcome. Must be the first middleware."""

    def __init__(self, now: Clock, metrics: Metrics) -> None:
        self._now = now
        self._metrics = metrics

    async def process_request(self, req: Request, resp: Response) -> None:
        """Create the request's `Call`."""
        req.context.call = Call(ids.new_id(self._now()), time.monotonic())

    async def process_response(
        self, req: Request, resp: Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Record the request when its answer is ready; a stream starts only after that."""
        current: Call = req.context.call
        seconds = time.monotonic() - current.started
        route = current.route or _NO_ROUTE
        method = req.method if req.method in _LABELED else _OTHER
        self._metrics.requests.labels(method, route, str(resp.status_code)).observe(seconds)
        log.debug(
            "%s %s %s: %s in %.1f ms",
            current.id,
            method,
            req.path,
            resp.status_code,
            seconds * 1000,
        )


class SafeHeaders:
    """Sets headers that keep browsers from framing, sniffing or caching an answer."""

    async def process_response(
        self, _req: Request, resp: Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Set the headers of the answer."""
        resp.set_headers(_SAFE_HEADERS)
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")


class Inputs:
    """Reads the arguments, also from the body of a GET.

    A body is read after its sender is authenticated. Only a request without credentials in the
    headers and the query may have them in the body, which must be small then.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._bodies = body.Bodies()

    async def process_resource(
        self, req: Request, _resp: Response, resource: Any, params: Mapping[str, str]
    ) -> None:
        """Read the arguments before the resource is called; not for an unknown URL."""
        query = arguments.from_query(req.query_string)
        public = getattr(resource, "public", False)
        user = None if public else await self._user(req, query)
        most = body.MAX_BODY_OF_OTHERS
        if isinstance(resource, Endpoint | JobTree):
            most = resource.most_body(req.method, params)
        address = self._sign_in.address(req)
        given = await self._bodies.read(req, most=most, user=user, address=address)
        req.context.call.arguments = Arguments(query, *given)

    async def _user(self, req: Request, query: dict[str, Any]) -> str | None:
        """Return the user authenticated by header or query; None if these have no credentials.

        Raises:
            ApiError: 401, `Authorization`, which takes precedence, is wrong; 429, too many checks.
        """
        if not req.content_length and req.get_header("Transfer-Encoding") is None:
            return None
        try:
            identity = await self._sign_in.identify(req, Arguments(query))
        except ApiError as error:
            too_long = (req.content_length or 0) > body.MAX_BODY_OF_UNKNOWN
            if error.status != 401 or too_long or req.get_header("Authorization") is not None:
                raise
            return None
        return identity.user.name


class Cors:
    """Lets browsers call from the allowed origins."""

    def __init__(self, origins: tuple[str, ...], offered: Offered) -> None:
        self._offered = offered
        self._any = "*" in origins
        self._origins = frozenset(origins)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Answer OPTIONS for any URL, without authentication."""
        self._allow_origin(req, resp)
        if req.method == "OPTIONS":
            methods = self._offered.methods(req.path)
            resp.set_header("Allow", methods)
            # Succeed for unknown URLs too, so that after the preflight the page sees the 404.
            allowed = _METHODS if methods == "OPTIONS" else methods
            resp.set_header("Access-Control-Allow-Methods", allowed)
            resp.set_header("Access-Control-Allow-Headers", _HEADERS)
            resp.set_header("Access-Control-Max-Age", _DAY)
            resp.complete = True

    def _allow_origin(self, req: Request, resp: Response) -> None:
        origin = req.get_header("Origin")
        if self._any:
            resp.set_header("Access-Control-Allow-Origin", "*")
        else:
            resp.append_header("Vary", "Origin")
            if origin not in self._origins:
                return
            resp.set_header("Access-Control-Allow-Origin", origin)
            resp.set_header("Access-Control-Allow-Credentials", "true")
        resp.set_header("Access-Control-Expose-Headers", "Token, Retry-After")
