"""Checking passwords: slow for who guesses, quick for who is known, never in the way of the others.

Basic sends the password with each request, and argon2 takes tens of milliseconds and as many
megabytes on purpose. So the check runs in a few threads of its own with a bounded queue, equal
checks that arrive together are one, and what was right once is remembered.
"""

import asyncio
import hmac
import re
import secrets
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import argon2

from corejob_api.errors import ApiError

Verify = Callable[[str, bytes], bool]
"""Whether a password is the one of an argon2 hash."""

_FORM: Final = re.compile(
    r"\$argon2(id|i|d)\$(v=[0-9]+\$)?m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
)
_KEY_BYTES: Final = 32
_THREADS: Final = 2
_MOST_RUNNING: Final = 32
_MOST_REMEMBERED: Final = 4096


def verify_argon2(phc: str, password: bytes) -> bool:
    """Whether a password is the one of an argon2 hash; takes as long as the hash says."""
    try:
        return argon2.PasswordHasher().verify(phc, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def is_argon2(phc: str) -> bool:
    """Whether a text is an argon2 hash in PHC form."""
    return _FORM.fullmatch(phc) is not None


def decoy_hash() -> str:
    """A hash of argon2's usual costs that no password has."""
    costs = argon2.PasswordHasher()
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (costs.salt_len, costs.hash_len)
    )
    parameters = f"m={costs.memory_cost},t={costs.time_cost},p={costs.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${digest}"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a password is checked against.

    Each check works through `phc`, so that the time it takes tells nothing about the user. If
    `digest` is given it decides, and the outcome of the hash is of no account.

    Attributes:
        phc: An argon2 hash.
        digest: HMAC-SHA256 of a plain password with `salt`. Argon2 would hide nothing here: the
            password stands beside us in the users' Secret, and hashing all of them takes long.
    """

    phc: str = field(repr=False)
    digest: bytes | None = field(default=None, repr=False)
    salt: bytes = field(default=b"", repr=False)

    @classmethod
    def of_password(cls, password: str, decoy: str) -> "Credential":
        """The credential of a plain password."""
        salt = secrets.token_bytes(_KEY_BYTES)
        return cls(decoy, hmac.digest(salt, password.encode(), "sha256"), salt)

    @classmethod
    def of_nobody(cls, decoy: str) -> "Credential":
        """The credential of an unknown user: every password is wrong."""
        return cls(decoy, b"")

    def accepts(self, password: bytes, verify: Verify) -> bool:
        """Whether the password is right."""
        verified = verify(self.phc, password)
        if self.digest is None:
            return verified
        return hmac.compare_digest(hmac.digest(self.salt, password, "sha256"), self.digest)


class Passwords:
    """Checks passwords, at most a few at once.

    A right one is remembered as an HMAC, under a key of this process, of user, credential and
    password: a changed credential asks again, and nothing is kept that a password can be read from.
    """

    def __init__(
        self,
        *,
        verify: Verify = verify_argon2,
        threads: int = _THREADS,
        most_running: int = _MOST_RUNNING,
        most_remembered: int = _MOST_REMEMBERED,
    ) -> None:
        self._verify = verify
        self._most_running = most_running
        self._most_remembered = most_remembered
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")

    def close(self) -> None:
        """Stop the threads; what waits for one is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def check(self, name: str, credential: Credential, password: str) -> bool:
        """Whether a user's password is right.

        Raises:
            ApiError: Too many checks wait already (429).
        """
        secret = password.encode()
        key = self._fingerprint(name, credential, secret)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return True
        running = self._running.get(key) or self._start(key, credential, secret)
        return await asyncio.shield(running)  # others may wait for it too

    def _start(self, key: bytes, credential: Credential, secret: bytes) -> "asyncio.Future[bool]":
        if len(self._running) >= self._most_running:
            raise ApiError(429, "too many sign-ins at once", {"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, credential.accepts, secret, self._verify)
        self._running[key] = running
        running.add_done_callback(lambda done: self._finish(key, done))
        return running

    def _finish(self, key: bytes, done: "asyncio.Future[bool]") -> None:
        del self._running[key]
        if done.cancelled() or done.exception() is not None or not done.result():
            return
        self._remembered[key] = None
        if len(self._remembered) > self._most_remembered:
            self._remembered.popitem(last=False)

    def _fingerprint(self, name: str, credential: Credential, secret: bytes) -> bytes:
        known = (name.encode(), credential.phc.encode(), credential.digest or b"", credential.salt)
        parts = [*known, secret]
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, framed, "sha256")
