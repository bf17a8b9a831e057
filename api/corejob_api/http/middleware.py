"""Middleware of every request: call data and metrics, security headers, CORS."""

import logging
import time
from typing import Any, Final

from falcon.asgi import Request, Response

from corejob import ids
from corejob_api.http.call import Call
from corejob_api.http.routing import METHODS, AllowedMethods
from corejob_api.metrics import ApiMetrics
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

_METHODS: Final = "GET, POST, PUT, OPTIONS"
_HEADERS: Final = "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_DAY: Final = "86400"
_NO_ROUTE: Final = "none"
_LABELED: Final = frozenset({*METHODS, "HEAD", "OPTIONS"})
"""Method labels, a closed set: a method may be any word of up to 64 KiB, and labels are kept."""
_OTHER: Final = "other"
_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class CallMiddleware:
    """Gives each request its `Call` and records its outcome. Must be the first middleware."""

    def __init__(self, now: Clock, metrics: ApiMetrics) -> None:
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


class SecurityHeaders:
    """Sets headers that keep browsers from framing, sniffing or caching an answer."""

    async def process_response(
        self, _req: Request, resp: Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Set the headers of the answer."""
        resp.set_headers(_SECURITY_HEADERS)
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")


class Cors:
    """Lets browsers call from the allowed origins."""

    def __init__(self, origins: tuple[str, ...], allowed_methods: AllowedMethods) -> None:
        self._allowed_methods = allowed_methods
        self._any = "*" in origins
        self._origins = frozenset(origins)

    async def process_request(self, req: Request, resp: Response) -> None:
        """Answer OPTIONS for any URL, without authentication."""
        self._allow_origin(req, resp)
        if req.method == "OPTIONS":
            methods = self._allowed_methods.methods(req.path)
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
