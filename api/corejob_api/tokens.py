"""The tokens of `/login`: JWT, signed with the service's key (contract section 1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from corejob import clock
from corejob_api.timing import Clock

LIFE: Final = timedelta(hours=8)
REFRESH_AFTER: Final = timedelta(hours=1)
_ALGORITHM: Final = "HS256"
_CHECKS: Final[Any] = {
    "require": ["sub", "iat", "exp"],
    # The times are checked here, by the clock that the service is given.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    name: str
    issued_at: datetime
    expires_at: datetime
    is_old: bool
    """It is time for a fresh one."""


class Tokens:
    """Issues tokens, and reads them."""

    def __init__(self, secret: bytes, now: Clock) -> None:
        self._secret = secret
        self._now = now

    def issue(self, name: str) -> str:
        """A token for a user."""
        issued = int(self._now().timestamp())
        expires = issued + int(LIFE.total_seconds())
        return jwt.encode(
            {"sub": name, "iat": issued, "exp": expires}, self._secret, algorithm=_ALGORITHM
        )

    def read(self, token: str) -> Claims:
        """What a token says.

        Raises:
            ValueError: It is none of ours, or it has expired.
        """
        try:
            claims = jwt.decode(token, self._secret, algorithms=[_ALGORITHM], options=_CHECKS)
            issued, expires = clock.from_epoch(claims["iat"]), clock.from_epoch(claims["exp"])
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, OSError):
            raise ValueError("the token is not valid") from None
        now = self._now()
        if expires <= now:
            raise ValueError("the token has expired")
        return Claims(claims["sub"], issued, expires, now - issued > REFRESH_AFTER)
