"""Tokens of `/login`: JWT, signed with the service's key (docs/rest.md).

A token becomes invalid when the user's password changes. It therefore has a fingerprint of the
password, an HMAC under the service's key, which reveals nothing without that key.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from corejob import timestamps
from corejob_api.auth.users import User
from corejob_process.clock import Clock

LIFE: Final = timedelta(hours=8)
MOST_AGE: Final = timedelta(days=7)
"""Maximum age since the sign-in by password, across all renewals."""
REFRESH_AFTER: Final = timedelta(hours=1)
_ALGORITHM: Final = "HS256"
_FINGERPRINT: Final = "pwf"
_SIGNED_IN: Final = "auth_time"
_FINGERPRINT_BYTES: Final = 16
_CHECKS: Final[Any] = {
    "require": ["sub", "iat", "exp", _FINGERPRINT],
    # `Tokens.read` checks the times, by the clock that the service is given.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Claims of a token that is signed with the service's key and has not expired."""

    name: str
    signed_in_at: datetime
    """Time of the sign-in by password; renewed tokens keep it."""
    issued_at: datetime
    expires_at: datetime
    is_old: bool
    """True if the token should be renewed and its successor would expire later."""
    fingerprint: str = field(repr=False)
    """Fingerprint of the password under which the token was issued."""


class ExpiredError(ValueError):
    """The token has a valid signature, but has expired."""


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, secret: bytes, now: Clock, *, most_age: timedelta = MOST_AGE) -> None:
        self._secret = secret
        self._now = now
        self._most_age = most_age

    def issue(self, user: User, signed_in_at: datetime | None = None) -> str:
        """Return a new token.

        Args:
            user: The user it is issued to.
            signed_in_at: Time of the sign-in by password; None for now.
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

    def read(self, token: str) -> TokenClaims:
        """Return the claims of a token. The caller must check with `is_of` that it is the user's.

        Raises:
            ValueError: The token is malformed or not signed with the service's key.
            ExpiredError: The token has expired.
        """
        try:
            claims = jwt.decode(token, self._secret, algorithms=[_ALGORITHM], options=_CHECKS)
            issued, expires = (
                timestamps.from_epoch(claims["iat"]),
                timestamps.from_epoch(claims["exp"]),
            )
            # Tokens of earlier builds lack the claim: take their issue as the sign-in.
            signed_in = timestamps.from_epoch(claims.get(_SIGNED_IN, claims["iat"]))
            ends = signed_in + self._most_age
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, OSError):
            raise ValueError("the token is not valid") from None
        now, expires = self._now(), min(expires, ends)
        if expires <= now:
            raise ExpiredError("the token has expired")
        is_old = now - issued > REFRESH_AFTER and expires < ends
        fingerprint = str(claims[_FINGERPRINT])
        return TokenClaims(claims["sub"], signed_in, issued, expires, is_old, fingerprint)

    def is_of(self, claims: TokenClaims, user: User) -> bool:
        """Return True if a token was issued to this user under the user's present password."""
        expected = self._fingerprint(user).encode()
        same = hmac.compare_digest(claims.fingerprint.encode("utf-8", "replace"), expected)
        return same and claims.name == user.name

    def _fingerprint(self, user: User) -> str:
        # The name is included so that equal passwords have different fingerprints.
        text = b"\0".join((b"core4 password", user.name.encode(), user.password_digest))
        return hmac.digest(self._secret, text, "sha256")[:_FINGERPRINT_BYTES].hex()
