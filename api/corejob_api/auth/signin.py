"""Authentication of requests: Basic, a token, or arguments (docs/rest.md)."""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from falcon.asgi import Request, Response

from corejob.args import surrogate_problem
from corejob_api.auth.fairness import Sender, network
from corejob_api.auth.passwords import Passwords, TooManyChecksError
from corejob_api.auth.signin_failures import FailedSignIns, FailureReason
from corejob_api.auth.tokens import LIFE, ExpiredError, Tokens
from corejob_api.auth.users import User, UserDirectory
from corejob_api.http import call
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError, unauthorized

COOKIE: Final = "token"
HEADER: Final = "Token"
_ARGUMENTS: Final = ("token", "username", "password")
_BY_HEADER: Final = "identity_by_header"
"""Attribute of a request's context: the identity that its header `Authorization` proves."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated user and the means of authentication.

    Attributes:
        user: The user.
        token_expires: Expiry of the token that the client sent; None if it sent none.
        fresh_token: Successor of a token that is due for renewal; None otherwise.
        by_cookie: True if the token came as a cookie.
        signed_in_at: Time of the sign-in by password that the token is from; None if this request
            has the password.
    """

    user: User
    token_expires: datetime | None = None
    fresh_token: str | None = field(default=None, repr=False)
    by_cookie: bool = False
    signed_in_at: datetime | None = None


class SignIn:
    """Authenticates requests."""

    def __init__(
        self,
        users: UserDirectory,
        passwords: Passwords,
        tokens: Tokens,
        failures: FailedSignIns,
        *,
        trusted_proxies: int = 0,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._tokens = tokens
        self._failures = failures
        self._trusted_proxies = trusted_proxies

    def address(self, req: Request) -> str:
        """Return the address that a request counts for."""
        return network(call.client_host(req, self._trusted_proxies))

    async def identify(self, req: Request, arguments: Arguments) -> Identity:
        """Authenticate a request and remove the credentials from its arguments.

        The first of these that is present decides, even if it fails: the header `Authorization`,
        the argument `token`, the arguments `username` and `password`, the cookie.

        Raises:
            ApiError: 401, credentials are missing or wrong; 429, too many checks are queued.
        """
        given = Arguments({name: arguments.take(name) for name in _ARGUMENTS})
        host = call.client_host(req, self._trusted_proxies)
        header = req.get_header("Authorization")
        if header is not None:
            # Checked once a request: before its body is read, and again with its arguments.
            if not hasattr(req.context, _BY_HEADER):
                setattr(req.context, _BY_HEADER, await self._by_header(header, host))
            identity: Identity = getattr(req.context, _BY_HEADER)
            return identity
        token = _credential(given, "token")
        if token is not None:
            return self._by_token(token, host)
        username = _credential(given, "username")
        if username is not None:
            password = _credential(given, "password") or ""
            return await self._by_password(username, password, host)
        cookie = req.cookies.get(COOKIE)
        if cookie:
            return self._by_token(cookie, host, by_cookie=True)
        raise unauthorized("not signed in")

    def issue(self, identity: Identity) -> str:
        """Return a new token; it keeps the time of the sign-in, so renewals can't go on forever."""
        return self._tokens.issue(identity.user, identity.signed_in_at)

    async def _by_header(self, header: str, host: str) -> Identity:
        scheme, _, value = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(value.strip(), host)
        try:
            if scheme.lower() != "basic":
                raise unauthorized("the header Authorization must be Basic or Bearer")
            name, password = _basic(value.strip())
        except ApiError:
            self._failures.failed(FailureReason.HEADER, host)
            raise
        return await self._by_password(name, password, host)

    async def _by_password(self, name: str, password: str, host: str) -> Identity:
        user = self._users.find(name)
        credential = self._users.credential(name)
        try:
            is_right = await self._passwords.check(Sender.of(host, name), credential, password)
        except TooManyChecksError as error:
            self._failures.refused(error.limit, host, name)
            raise
        if not is_right or user is None:
            self._failures.failed(FailureReason.PASSWORD, host, name)
            raise unauthorized("wrong username or password")
        return Identity(user)

    def _by_token(self, token: str, host: str, *, by_cookie: bool = False) -> Identity:
        try:
            claims = self._tokens.read(token)
        except ExpiredError as error:
            self._failures.failed(FailureReason.EXPIRED, host)
            raise unauthorized(str(error)) from None
        except ValueError as error:
            self._failures.failed(FailureReason.TOKEN, host)
            raise unauthorized(str(error)) from None
        user = self._users.find(claims.name)
        if user is None or not self._tokens.is_of(claims, user):
            self._failures.failed(FailureReason.TOKEN, host, claims.name)
            raise unauthorized("the token is not valid")
        signed_in_at = claims.signed_in_at
        fresh = self._tokens.issue(user, signed_in_at) if self._tokens.is_old(claims) else None
        return Identity(user, claims.expires_at, fresh, by_cookie, signed_in_at)


def _credential(given: Arguments, name: str) -> str | None:
    """Return a credential; None if it is not given.

    Raises:
        ApiError: 401, it is not Unicode: it can be neither right nor hashed.
    """
    text = given.optional_text(name)
    problem = surrogate_problem(text, name) if text is not None else None
    if problem is not None:
        raise unauthorized(f"parameter [{name}]: {problem}")
    return text


def renew(req: Request, resp: Response, identity: Identity) -> None:
    """Send the successor of an old token as header, and as cookie if the old one was a cookie."""
    if identity.fresh_token is None:
        return
    resp.set_header(HEADER, identity.fresh_token)
    if identity.by_cookie:
        set_cookie(req, resp, identity.fresh_token)


def set_cookie(req: Request, resp: Response, token: str) -> None:
    """Set the cookie `token`; it is marked `Secure` only if the request came over HTTPS."""
    resp.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFE.total_seconds()),
        path="/",
        secure=req.forwarded_scheme == "https",
        http_only=True,
        same_site="Lax",
    )


def _basic(value: str) -> tuple[str, str]:
    """Return name and password; UTF-8, or Latin-1 as clients such as requests encode them.

    Raises:
        ApiError: 401, the header is malformed.
    """
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise unauthorized("the header Authorization is malformed") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise unauthorized("the header Authorization is malformed")
    return name, password
