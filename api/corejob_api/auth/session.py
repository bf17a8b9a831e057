"""`/login`, `/logout` and `/profile`."""

from typing import Final

from falcon.asgi import Request, Response

from corejob import timestamps
from corejob_api.auth.current_user import current_user
from corejob_api.auth.origins import OriginCheck
from corejob_api.auth.signin import COOKIE, HEADER, SignIn, set_cookie
from corejob_api.http import call
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import forbidden


class LoginResource:
    """Issues tokens. The route is public, since this handler authenticates by itself.

    No cookie is set for a page of another origin, which could sign its visitors in as another user.
    """

    public: Final = True

    def __init__(self, sign_in: SignIn, origins: OriginCheck, envelope: Envelope) -> None:
        self._sign_in = sign_in
        self._origins = origins
        self._envelope = envelope

    async def on_get(self, req: Request, resp: Response) -> None:
        """Sign in."""
        identity = await self._sign_in.identify(req, call.of(req).arguments)
        token = self._sign_in.issue(identity)
        resp.set_header(HEADER, token)
        if self._origins.admits(req):
            set_cookie(req, resp, token)
        self._envelope.answer(req, resp, {"token": token})

    async def on_post(self, req: Request, resp: Response) -> None:
        """Sign in."""
        await self.on_get(req, resp)


class LogoutResource:
    """Clears the cookie. Public, so that it succeeds without authentication."""

    public: Final = True

    def __init__(self, origins: OriginCheck, envelope: Envelope) -> None:
        self._origins = origins
        self._envelope = envelope

    async def on_get(self, req: Request, resp: Response) -> None:
        """Sign out.

        Raises:
            ApiError: 403, a page of another origin sends the request.
        """
        if not self._origins.admits(req):
            raise forbidden(
                "a page of another origin can't sign users out: add the origin to corsOrigins"
            )
        resp.unset_cookie(COOKIE, path="/")
        self._envelope.answer(req, resp, None)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Sign out."""
        await self.on_get(req, resp)


class ProfileResource:
    """Returns the authenticated user's profile; requires no permission."""

    unrestricted: Final = True

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer with the profile."""
        user = current_user(req)
        data = {
            "_id": user.name,
            "name": user.name,
            "realname": user.realname,
            "email": user.email,
            "perm": user.perms,
            "role": user.roles,
            "can": user.abilities(),
            "token_expires": timestamps.iso(call.of(req).token_expires),
        }
        self._envelope.answer(req, resp, data)
