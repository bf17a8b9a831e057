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
from corejob_process.lru import LruMap

LIFE: Final = timedelta(hours=8)
MOST_AGE: Final = timedelta(days=7)
"""Maximum age since the sign-in by password, across all renewals."""
REFRESH_AFTER: Final = timedelta(hours=1)
_ALGORITHM: Final = "HS256"
_FINGERPRINT: Final = "pwf"
_SIGNED_IN: Final = "auth_time"
_FINGERPRINT_BYTES: Final = 16
_MOST_VERIFIED: Final = 1024
_CHECKS: Final[Any] = {
    "require": ["sub", "iat", "exp", _FINGERPRINT],
    # `Tokens.read` checks the times, by the clock that the service is given.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Claims of a token that is signed with the service's key."""

    name: str
    signed_in_at: datetime
    """Time of the sign-in by password; renewed tokens keep it."""
    issued_at: datetime
    expires_at: datetime
    ends_at: datetime
    """When no successor of the token is valid any more."""
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
        self._verified: LruMap[str, TokenClaims] = LruMap(_MOST_VERIFIED)

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

        Tokens with a valid signature are remembered, since its check takes a fifth of an enqueue.

        Raises:
            ValueError: The token is malformed or not signed with the service's key.
            ExpiredError: The token has expired.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            self._verified.put(token, claims)
        if claims.expires_at <= self._now():
            raise ExpiredError("the token has expired")
        return claims

    def _verify(self, token: str) -> TokenClaims:
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
        fingerprint = str(claims[_FINGERPRINT])
        expires = min(expires, ends)
        return TokenClaims(claims["sub"], signed_in, issued, expires, ends, fingerprint)

    def is_old(self, claims: TokenClaims) -> bool:
        """Return True if the token should be renewed and its successor would expire later."""
        age = self._now() - claims.issued_at
        return age > REFRESH_AFTER and claims.expires_at < claims.ends_at

    def is_of(self, claims: TokenClaims, user: User) -> bool:
        """Return True if a token was issued to this user under the user's present password."""
        expected = self._fingerprint(user).encode()
        same = hmac.compare_digest(claims.fingerprint.encode("utf-8", "replace"), expected)
        return same and claims.name == user.name

    def _fingerprint(self, user: User) -> str:
        # The name is included so that equal passwords have different fingerprints.
        text = b"\0".join((b"core4 password", user.name.encode(), user.password_digest))
        return hmac.digest(self._secret, text, "sha256")[:_FINGERPRINT_BYTES].hex()
