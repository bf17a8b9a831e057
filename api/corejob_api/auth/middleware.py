"""Middleware that authenticates and authorises requests, and reads their arguments."""

from collections.abc import Callable, Mapping
from typing import Any

from falcon.asgi import Request, Response

from corejob_api.auth.current_user import current_user
from corejob_api.auth.signin import SignIn, renew
from corejob_api.http import arguments, body, call
from corejob_api.http.arguments import Arguments
from corejob_api.http.call import ApiRequest
from corejob_api.http.errors import ApiError, forbidden, unavailable
from corejob_api.http.routing import Endpoint, JobTree, Route


class Authentication:
    """Authenticates and authorises requests; answers 503 until the caches are synced.

    Args:
        sign_in: Authenticates requests.
        is_ready: Returns True once the caches are synced.
    """

    def __init__(self, sign_in: SignIn, is_ready: Callable[[], bool]) -> None:
        self._sign_in = sign_in
        self._is_ready = is_ready

    async def authenticate(self, req: Request, resp: Response) -> None:
        """Authenticate the request and record its user in its `Call`.

        Raises:
            ApiError: 401, not authenticated; 429, too many sign-ins.
        """
        current = call.of(req)
        identity = await self._sign_in.identify(req, current.arguments)
        current.user, current.token_expires = identity.user, identity.token_expires
        renew(req, resp, identity)

    def authorise(self, route: Route, req: Request) -> None:
        """Check that the user may call the route.

        Raises:
            ApiError: 403, the user may not call the API with this method; 503, the caches are not
                synced yet.
        """
        if route.public or route.unrestricted:
            return
        if not current_user(req).may_call(req.method):
            raise forbidden(f"no permission to call the API with {req.method}")
        if not self._is_ready():
            raise unavailable("the service has just started and is reading the queue")


class ArgumentReader:
    """Reads the arguments, also from the body of a GET.

    A body is read after its sender is authenticated. Only a request without credentials in the
    headers and the query may have them in the body, which must be small then.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._bodies = body.Bodies()

    async def process_resource(
        self, req: ApiRequest, _resp: Response, resource: Any, params: Mapping[str, str]
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
