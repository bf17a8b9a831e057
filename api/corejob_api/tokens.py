"""The tokens of `/login`: JWT, signed with the service's key (contract section 1).

A token is good for as long as the user's password is the one that it was issued under. So it bears
a fingerprint of that, made with the service's key: nobody without the key can tell anything by it.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from corejob import clock
from corejob_api.users import User
from corejob_kube.timing import Clock

LIFE: Final = timedelta(hours=8)
MOST_AGE: Final = timedelta(days=7)
"""Since the sign-in by password, through all renewals."""
REFRESH_AFTER: Final = timedelta(hours=1)
_ALGORITHM: Final = "HS256"
_FINGERPRINT: Final = "pwf"
_SIGNED_IN: Final = "auth_time"
_FINGERPRINT_BYTES: Final = 16
_CHECKS: Final[Any] = {
    "require": ["sub", "iat", "exp", _FINGERPRINT],
    # The times are checked here, by the clock that the service is given.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says that is signed by us and has not expired."""

    name: str
    signed_in_at: datetime
    """By the password, which this token or those before it stand for."""
    issued_at: datetime
    expires_at: datetime
    is_old: bool
    """It is time for a fresh one, and that would live longer."""
    fingerprint: str = field(repr=False)
    """Of the password that it was issued under."""


class ExpiredError(ValueError):
    """A token is ours, and has expired."""


class Tokens:
    """Issues tokens, and reads them."""

    def __init__(self, secret: bytes, now: Clock, *, most_age: timedelta = MOST_AGE) -> None:
        self._secret = secret
        self._now = now
        self._most_age = most_age

    def issue(self, user: User, signed_in_at: datetime | None = None) -> str:
        """A token for a user.

        Args:
            user: Whose it is.
            signed_in_at: When they gave their password; None: now.
        """
        now = self._now()
        signed_in_at = signed_in_at or now
        claims = {
            "sub": user.name,
            "iat": int(now.timestamp()),
            "exp": int(min(now + LIFE, signed_in_at + self._most_age).timestamp()),
            _SIGNED_IN: int(signed_in_at.timestamp()),
            _FINGERPRINT: self._fingerprint(user),
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str) -> Claims:
        """What a token says; whether its user is still who it was issued to says `is_of`.

        Raises:
            ValueError: It is none of ours.
            ExpiredError: It has expired.
        """
        try:
            claims = jwt.decode(token, self._secret, algorithms=[_ALGORITHM], options=_CHECKS)
            issued, expires = clock.from_epoch(claims["iat"]), clock.from_epoch(claims["exp"])
            # Earlier builds didn't say it; theirs are as if signed in by the password.
            signed_in = clock.from_epoch(claims.get(_SIGNED_IN, claims["iat"]))
            ends = signed_in + self._most_age
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, OSError):
            raise ValueError("the token is not valid") from None
        now, expires = self._now(), min(expires, ends)
        if expires <= now:
            raise ExpiredError("the token has expired")
        is_old = now - issued > REFRESH_AFTER and expires < ends
        fingerprint = str(claims[_FINGERPRINT])
        return Claims(claims["sub"], signed_in, issued, expires, is_old, fingerprint)

    def is_of(self, claims: Claims, user: User) -> bool:
        """Whether a token was issued to this user, under the password that is theirs now."""
        expected = self._fingerprint(user).encode()
        same = hmac.compare_digest(claims.fingerprint.encode("utf-8", "replace"), expected)
        return same and claims.name == user.name

    def _fingerprint(self, user: User) -> str:
        # The name goes into it too: equal passwords are not to be told by their fingerprints.
        text = b"\0".join((b"core4 password", user.name.encode(), user.password_digest))
        return hmac.digest(self._secret, text, "sha256")[:_FINGERPRINT_BYTES].hex()
