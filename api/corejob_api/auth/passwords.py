"""Password checks with argon2: bounded, fairly queued, deduplicated and cached.

Basic authentication sends the password with each request, and argon2 takes tens of milliseconds
and as many megabytes on purpose. Checks therefore run in a small thread pool of their own with a
bounded queue, equal checks that arrive together from one address are merged, and a successful
check is cached.
"""

import asyncio
import functools
import hmac
import re
import secrets
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import argon2

from corejob_api.auth.fairness import (
    CheckHistory,
    CheckQueue,
    FullError,
    Limit,
    Limits,
    Sender,
    WaitingCheck,
)
from corejob_api.http.errors import ApiError
from corejob_process.lru import LruMap

Verify = Callable[[str, bytes], bool]
"""Return True if a password matches an argon2 hash in PHC form."""

_FORM: Final = re.compile(
    r"\$argon2(?:id|i|d)\$(?:v=[0-9]+\$)?m=([0-9]+),t=([0-9]+),p=([0-9]+)"
    r"\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
)
_LEAST_MEMORY: Final = 8
"""Minimum of argon2's memory, in KiB per lane."""
_KEY_BYTES: Final = 32
_THREADS: Final = 2
_LIMITS: Final = Limits()
_RETRY: Final = {"Retry-After": "1"}
_MOST_CACHED: Final = 4096


def verify_argon2(phc: str, password: bytes) -> bool:
    """Return True if a password matches an argon2 hash; False too if the hash is malformed.

    The time it takes follows from the hash's cost parameters.
    """
    try:
        return argon2.PasswordHasher().verify(phc, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def is_argon2(phc: str) -> bool:
    """Return True if a text is an argon2 hash in PHC form."""
    return _FORM.fullmatch(phc) is not None


@dataclass(frozen=True, slots=True)
class Costs:
    """Cost parameters of an argon2 hash.

    Attributes:
        memory: Memory in KiB.
        passes: Number of passes over the memory.
        lanes: Degree of parallelism.
    """

    memory: int
    passes: int
    lanes: int

    @classmethod
    def of(cls, phc: str) -> "Costs":
        """Return the costs of a hash in PHC form.

        Raises:
            ValueError: The text is not an argon2 hash in PHC form.
        """
        match = _FORM.fullmatch(phc)
        if match is None:
            raise ValueError("not an argon2 hash in PHC form")
        return cls(*(int(number) for number in match.groups()))

    @property
    def work(self) -> int:
        """KiB processed over all passes; the time of a check is proportional to it."""
        return self.memory * self.passes

    def above(self, other: "Costs") -> "Costs | None":
        """Return the costs of a check that makes up for the difference to cheaper costs.

        None if the difference is below the minimum memory of an argon2 hash.
        """
        memory = (self.work - other.work) // max(1, self.passes)
        if memory < _LEAST_MEMORY * self.lanes:
            return None
        return Costs(memory, self.passes, self.lanes)


def decoy_hash(costs: Costs | None = None) -> str:
    """Return a random hash that no password matches, of these costs or of argon2's defaults."""
    usual = argon2.PasswordHasher()
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (usual.salt_len, usual.hash_len)
    )
    if costs is None:
        costs = Costs(usual.memory_cost, usual.time_cost, usual.parallelism)
    parameters = f"m={costs.memory},t={costs.passes},p={costs.lanes}"
    return f"$argon2id$v=19${parameters}${salt}${digest}"


@dataclass(frozen=True, slots=True)
class Credential:
    """Stored secret that a password is checked against.

    Each check computes `phc` and `more`, so that its duration reveals nothing about the user. If
    `digest` is given, it alone decides, and the result of the hash is ignored.

    Attributes:
        phc: An argon2 hash.
        more: A second hash, computed only to equalise the duration, where `phc` costs less than
            the most expensive hash.
        digest: HMAC-SHA256 of a plain password with `salt`. Argon2 would protect nothing here:
            the users' Secret has the password in plain text, and hashing all of them takes long.
        salt: Key of that HMAC.
    """

    phc: str = field(repr=False)
    digest: bytes | None = field(default=None, repr=False)
    salt: bytes = field(default=b"", repr=False)
    more: str | None = field(default=None, repr=False)

    @classmethod
    def of_hash(cls, phc: str, costliest: str) -> "Credential":
        """Return the credential of a hash; a check takes as long as one of `costliest`."""
        missing = Costs.of(costliest).above(Costs.of(phc))
        return cls(phc, more=None if missing is None else decoy_hash(missing))

    @classmethod
    def of_password(cls, password: str, decoy: str) -> "Credential":
        """Return the credential of a plain password; `decoy` is computed for its duration."""
        salt = secrets.token_bytes(_KEY_BYTES)
        return cls(decoy, hmac.digest(salt, password.encode(), "sha256"), salt)

    @classmethod
    def of_unknown_user(cls, decoy: str) -> "Credential":
        """Return the credential of an unknown user, which no password matches."""
        return cls(decoy, b"")

    def accepts(self, password: bytes, verify: Verify) -> bool:
        """Return True if the password is right. Blocks for the time of the argon2 checks."""
        verified = verify(self.phc, password)
        if self.more is not None:
            verify(self.more, password)
        if self.digest is None:
            return verified
        return hmac.compare_digest(hmac.digest(self.salt, password, "sha256"), self.digest)


class TooManyChecksError(ApiError):
    """429: too many checks are queued.

    Attributes:
        limit: The limit that was reached.
    """

    def __init__(self, limit: Limit) -> None:
        of = "" if limit is Limit.ALL else f" of this {limit.value}"
        super().__init__(429, f"too many sign-ins{of} at once, try again later", _RETRY)
        self.limit = limit


@dataclass(slots=True, eq=False)
class _Check:
    """A queued or running check.

    Attributes:
        slot: Address and fingerprint; equal slots share one check.
        key: Fingerprint of user, credential and password.
        outcome: True if the password is right; the limit that was reached if it was not checked.
    """

    slot: tuple[str, bytes]
    key: bytes
    credential: Credential
    secret: bytes
    outcome: "asyncio.Future[bool | Limit]"


class Passwords:
    """Checks passwords, a few at a time, in fair order (`corejob_api.auth.fairness`).

    A successful check is cached as an HMAC of user, credential and password under a key of this
    process. A changed credential is therefore checked again, and no password can be recovered from
    the cache.
    """

    def __init__(
        self,
        *,
        verify: Verify = verify_argon2,
        threads: int = _THREADS,
        limits: Limits = _LIMITS,
        most_cached: int = _MOST_CACHED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verify = verify
        self._free = threads
        self._monotonic = monotonic
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._cache: LruMap[bytes, None] = LruMap(most_cached)
        self._checks: dict[tuple[str, bytes], _Check] = {}
        self._history = CheckHistory()
        self._queue: CheckQueue[_Check] = CheckQueue(limits, self._history)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")

    def close(self) -> None:
        """Stop the threads and cancel the queued checks."""
        for check in self._queue.clear():
            check.outcome.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def check(self, sender: Sender, credential: Credential, password: str) -> bool:
        """Return True if a user's password is right.

        Raises:
            TooManyChecksError: Too many checks are queued.
        """
        secret = password.encode()
        key = self._fingerprint(sender.user, credential, secret)
        if self._cache.touch(key):
            self._history.passed(sender)
            return True
        # Merge equal checks per address only: an address that is put back in the queue must not
        # delay the same check from another one.
        slot = sender.address, key
        check = self._checks.get(slot)
        if check is None:
            future = asyncio.get_running_loop().create_future()
            check = _Check(slot, key, credential, secret, future)
            self._begin(sender, check)
        outcome = await asyncio.shield(check.outcome)  # shared with other requests
        if isinstance(outcome, Limit):
            raise TooManyChecksError(outcome)
        return outcome

    def _begin(self, sender: Sender, check: _Check) -> None:
        try:
            displaced = self._queue.put(WaitingCheck(sender, self._monotonic(), check))
        except FullError as error:
            raise TooManyChecksError(error.limit) from None
        self._checks[check.slot] = check
        for other, limit in displaced:
            self._end(other, limit)
        self._run()

    def _run(self) -> None:
        """Start queued checks while threads are free."""
        loop = asyncio.get_running_loop()
        while self._free and (waiting := self._queue.next(self._monotonic())) is not None:
            check, sender = waiting.item, waiting.sender
            if check.key in self._cache:  # succeeded from another address meanwhile
                self._pass(sender, check)
                continue
            self._free -= 1
            running = loop.run_in_executor(
                self._pool, check.credential.accepts, check.secret, self._verify
            )
            running.add_done_callback(functools.partial(self._finish, sender, check))

    def _finish(self, sender: Sender, check: _Check, done: "asyncio.Future[bool]") -> None:
        self._free += 1
        if done.cancelled():
            self._checks.pop(check.slot, None)
            check.outcome.cancel()
            return
        if (error := done.exception()) is not None:
            del self._checks[check.slot]
            check.outcome.set_exception(error)
            check.outcome.exception()  # mark as retrieved: no request may await it any more
        elif done.result():
            self._pass(sender, check)
        else:
            self._history.failed(sender, self._monotonic())
            self._end(check, False)
        self._run()

    def _pass(self, sender: Sender, check: _Check) -> None:
        self._history.passed(sender)
        self._cache.put(check.key, None)
        self._end(check, True)

    def _end(self, check: _Check, outcome: bool | Limit) -> None:
        del self._checks[check.slot]
        check.outcome.set_result(outcome)

    def _fingerprint(self, name: str, credential: Credential, secret: bytes) -> bytes:
        stored = (name.encode(), credential.phc.encode(), credential.digest or b"", credential.salt)
        parts = [*stored, secret]
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, framed, "sha256")
