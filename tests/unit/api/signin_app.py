"""A small app around sign-in: the session's resources, and one that echoes what it receives."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
import falcon.asgi
import httpx

from corejob_api.auth.current_user import current_user
from corejob_api.auth.origins import OriginCheck
from corejob_api.auth.passwords import Passwords, verify_argon2
from corejob_api.auth.session import LoginResource, LogoutResource, ProfileResource
from corejob_api.auth.signin import SignIn, renew
from corejob_api.auth.signin_failures import FailedSignIns
from corejob_api.auth.tokens import Tokens
from corejob_api.auth.users import UserDirectory
from corejob_api.http import arguments, body, call
from corejob_api.http.call import ApiRequest, Call
from corejob_api.http.envelope import Envelope
from corejob_api.http.errors import ApiError
from corejob_api.metrics import ApiMetrics

SECRET = b"0123456789abcdef0123456789abcdef"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HANS = CHEAP.hash("hans")
USERS: list[dict[str, Any]] = [
    {
        "name": "admin",
        "realname": "Administrator",
        "email": "admin@example.com",
        "passwordHash": HANS,
        "role": ["admin"],
    },
    {"name": "jane", "password": "pässword:1", "perm": ["api://core4/r", "job://example/r"]},
]


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> None:
        self.moment += timedelta(**by)


class CountingVerify:
    """Real Argon2 that records the hashes it was called with."""

    def __init__(self) -> None:
        self.hashes: list[str] = []

    def __call__(self, phc: str, password: bytes) -> bool:
        self.hashes.append(phc)
        return verify_argon2(phc, password)


class Echo:
    """Responds with what reached the resource."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        given = call.of(req).arguments
        names = ("token", "username", "password", "other")
        left = {name: given.raw(name) for name in names if given.raw(name) is not None}
        self._envelope.answer(req, resp, {"user": current_user(req).name, "arguments": left})


class _Middleware:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def process_request(self, req: falcon.asgi.Request, _: falcon.asgi.Response) -> None:
        req.context.call = Call("0" * 24, 0.0)

    async def process_resource(
        self,
        req: ApiRequest,
        resp: falcon.asgi.Response,
        resource: object,
        _: dict[str, str],
    ) -> None:
        sources = [arguments.from_query(req.query_string)]
        sources += body.sources(req, await body.read(req))
        current = call.of(req)
        current.arguments = arguments.Arguments(*sources)
        if getattr(resource, "public", False):
            return
        identity = await self._sign_in.identify(req, current.arguments)
        current.user, current.token_expires = identity.user, identity.token_expires
        renew(req, resp, identity)


class SigninApp:
    """The app and its parts."""

    def __init__(self, users_file: Path) -> None:
        self.clock = FakeClock()
        self.verify = CountingVerify()
        self.tokens = Tokens(SECRET, self.clock)
        self.passwords = Passwords(verify=self.verify)
        self.users = UserDirectory(users_file, monotonic=lambda: self.clock().timestamp())
        failures = FailedSignIns(ApiMetrics())
        sign_in = SignIn(self.users, self.passwords, self.tokens, failures)
        origins = OriginCheck(("*", "https://app.example.com"))
        envelope = Envelope("2.0.0", self.clock)
        app: Any = falcon.asgi.App(request_type=ApiRequest, middleware=[_Middleware(sign_in)])
        app.add_route("/login", LoginResource(sign_in, origins, envelope))
        app.add_route("/logout", LogoutResource(origins, envelope))
        app.add_route("/profile", ProfileResource(envelope))
        app.add_route("/echo", Echo(envelope))

        async def refuse(
            req: falcon.asgi.Request, resp: falcon.asgi.Response, error: ApiError, _: Any
        ) -> None:
            envelope.error(req, resp, error)

        app.add_error_handler(ApiError, refuse)
        self.app = app

    def token(self, name: str) -> str:
        """Return a token of an existing user."""
        user = self.users.find(name)
        assert user is not None
        return self.tokens.issue(user)

    def client(self, *, scheme: str = "http") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://api.example.com")


@contextmanager
def signin_app(folder: Path, users: list[dict[str, Any]] | None = None) -> Iterator[SigninApp]:
    """Return the app with these users."""
    path = folder / "users.json"
    path.write_text(json.dumps(USERS if users is None else users), encoding="utf-8")
    made = SigninApp(path)
    try:
        yield made
    finally:
        made.passwords.close()
