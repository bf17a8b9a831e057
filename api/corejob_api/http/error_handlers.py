"""Convert every exception to an error answer in the envelope, without a traceback."""

import logging
from typing import Any

import falcon
from falcon import COMBINED_METHODS
from falcon.asgi import App, Request, Response

from corejob_api.http import call
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import CLIENT_GONE, ApiError, of_kubernetes, unavailable
from corejob_api.http.routing import AllowedMethods, unknown_action
from corejob_journal.store import StoreError
from corejob_kube.errors import KubeError

log = logging.getLogger(__name__)


def of_falcon(error: falcon.HTTPError, req: Request) -> ApiError:
    """Convert an error of Falcon: an unknown URL, an unsupported method, or a bad request."""
    if error.status_code == 404:
        return ApiError(404, f"URL [{req.path[:300]}] not found")
    if error.status_code == 405 or req.method not in COMBINED_METHODS:
        return unknown_action(req.method, req.path.rsplit("/", 1)[-1])
    return ApiError(error.status_code, error.description or error.title or "bad request")


class ErrorHandlers:
    """Error handlers for Falcon, one for each type of exception."""

    def __init__(self, envelope: Envelope, allowed_methods: AllowedMethods) -> None:
        self._envelope = envelope
        self._allowed_methods = allowed_methods

    def register(self, app: App[Any, Any]) -> None:
        """Register the handlers with an application; together they cover every exception."""
        app.add_error_handler(Exception, self._unexpected)
        app.add_error_handler(falcon.HTTPError, self._falcon)
        app.add_error_handler(StoreError, self._store)
        app.add_error_handler(KubeError, self._kubernetes)
        app.add_error_handler(ApiError, self._ours)

    async def _ours(self, req: Request, resp: Response, error: ApiError, _params: Any) -> None:
        if error.status == CLIENT_GONE:
            # For the metrics; there is nobody to answer, nor a reason phrase of HTTP.
            resp.status = CLIENT_GONE
            resp.stream = None
            return
        if error.status == 405:
            error.headers["Allow"] = self._allowed_methods.methods(req.path)
        self._envelope.error(req, resp, error)

    async def _kubernetes(
        self, req: Request, resp: Response, error: KubeError, _params: Any
    ) -> None:
        self._envelope.error(req, resp, of_kubernetes(error))

    async def _store(self, req: Request, resp: Response, error: StoreError, _params: Any) -> None:
        log.warning("request %s: %s", call.of(req).id, error)
        self._envelope.error(req, resp, unavailable("the journal's store does not answer"))

    async def _falcon(
        self, req: Request, resp: Response, error: falcon.HTTPError, _params: Any
    ) -> None:
        await self._ours(req, resp, of_falcon(error, req), _params)

    async def _unexpected(
        self, req: Request, resp: Response, error: Exception, _params: Any
    ) -> None:
        current = call.of(req)
        log.error("request %s to %s failed", current.id, req.path, exc_info=error)
        text = f"internal error, see the service's log for request {current.id}"
        self._envelope.error(req, resp, ApiError(500, text))
