"""Users: a JSON list in a file of a mounted Secret, re-read when it changes."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from corejob_api.auth.passwords import Costs, Credential, decoy_hash, is_argon2
from corejob_api.auth.permissions import Access, Permissions
from corejob_api.http.arguments import decode_json

log = logging.getLogger(__name__)

ADMIN: Final = "admin"
"""Name of the role with all permissions."""

_CHECK_EVERY_S: Final = 3.0

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^:\x00-\x1f\x7f]+\Z")]
_Word = Annotated[str, msgspec.Meta(min_length=1)]
_Stamp = tuple[int, int, int, int]


def _credential_of_unknown_user() -> Credential:
    return Credential.of_unknown_user(decoy_hash())


@dataclass(frozen=True, slots=True)
class User:
    """A user who can sign in.

    Attributes:
        credential: Stored secret for password checks; it may change each time the file is read.
        password_digest: SHA-256 of the password or hash in the file; it changes with the password.

    Raises:
        ValueError: A permission is malformed.
    """

    name: str
    realname: str = ""
    email: str = ""
    roles: tuple[str, ...] = ()
    perms: tuple[str, ...] = ()
    credential: Credential = field(
        default_factory=_credential_of_unknown_user, repr=False, compare=False, kw_only=True
    )
    password_digest: bytes = field(default=b"", repr=False, compare=False, kw_only=True)
    _permissions: Permissions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        permissions = Permissions(self.perms, has_all=ADMIN in self.roles)
        object.__setattr__(self, "_permissions", permissions)

    def may_call(self, method: str) -> bool:
        """Return True if the user may call the API with an HTTP method."""
        return self._permissions.may_call(method)

    def may_read(self, qual_name: str) -> bool:
        """Return True if the user may read the jobs of a qual_name."""
        return self._permissions.access(qual_name) >= Access.READ

    def may_execute(self, qual_name: str) -> bool:
        """Return True if the user may execute the jobs of a qual_name."""
        return self._permissions.access(qual_name) == Access.EXECUTE

    def abilities(self) -> dict[str, bool]:
        """Return what the user may do with at least some jobs, for `/profile`."""
        reads = self.may_call("GET") and self._permissions.may_read_any
        executes = self._permissions.may_execute_any
        return {
            "read": reads,
            "log": reads,
            "enqueue": executes and self.may_call("POST"),
            "steer": executes and self.may_call("PUT"),
        }


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: _Name
    realname: str = ""
    email: str = ""
    password: _Word | None = None
    passwordHash: _Word | None = None  # noqa: N815  # the file's own name
    role: list[_Word] = []
    perm: list[_Word] = []


@dataclass(frozen=True, slots=True)
class _Users:
    by_name: dict[str, User]
    unknown: Credential


def _parse(raw: bytes) -> _Users:
    try:
        listed = msgspec.convert(decode_json(raw), list[Any])
    except ValueError as error:
        raise ValueError(f"the users' file is not a JSON list: {error}") from None
    entries = [_entry(number, value) for number, value in enumerate(listed)]
    # Users without a hash share a decoy as expensive as the most expensive hash, and cheaper hashes
    # are padded to its costs, so that every check takes the same time.
    hashes = [entry.passwordHash for entry in entries if entry.passwordHash]
    decoy = max(hashes, key=lambda phc: Costs.of(phc).work, default=None) or decoy_hash()
    users: dict[str, User] = {}
    for number, entry in enumerate(entries):
        if entry.name in users:
            raise ValueError(
                f"{_user_text(number, entry.name)}, name: another user has the same name"
            )
        users[entry.name] = _user(number, entry, decoy)
    return _Users(users, Credential.of_unknown_user(decoy))


def _user_text(number: int, name: Any) -> str:
    return f"user {number}" + (f" ({name})" if isinstance(name, str) else "")


def _entry(number: int, value: Any) -> _Entry:
    name = value.get("name") if isinstance(value, dict) else None
    label = _user_text(number, name)
    try:
        entry = msgspec.convert(value, _Entry)
    except msgspec.ValidationError as error:
        raise ValueError(f"{label}: {error}") from None
    if (entry.password is None) == (entry.passwordHash is None):
        raise ValueError(f"{label}: either password or passwordHash must be given")
    if entry.passwordHash is not None and not is_argon2(entry.passwordHash):
        raise ValueError(f"{label}, passwordHash: not an argon2 hash in PHC form")
    return entry


def _user(number: int, entry: _Entry, decoy: str) -> User:
    if entry.password is not None:
        credential = Credential.of_password(entry.password, decoy)
    else:
        credential = Credential.of_hash(entry.passwordHash or decoy, decoy)
    try:
        return User(
            name=entry.name,
            realname=entry.realname,
            email=entry.email,
            roles=tuple(entry.role),
            perms=tuple(entry.perm),
            credential=credential,
            password_digest=_password_digest(entry),
        )
    except ValueError as error:
        raise ValueError(f"{_user_text(number, entry.name)}, perm: {error}") from None


def _password_digest(entry: _Entry) -> bytes:
    kind = "password" if entry.password is not None else "passwordHash"
    return hashlib.sha256(f"{kind} {entry.password or entry.passwordHash}".encode()).digest()


class UserDirectory:
    """All users of the users' file.

    Kubernetes replaces the file of a Secret through a symbolic link, so the target of the path is
    checked every few seconds. If a changed file can't be used, the users stay as they were and an
    error is logged.

    Args:
        path: The users' file; None if there are no users.
        monotonic: Clock, in seconds, for the interval between checks of the file.

    Raises:
        OSError: The file can't be read.
        ValueError: The file is malformed.
    """

    def __init__(
        self, path: Path | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._checked_at = monotonic()
        self._stamp = _stamp(path) if path else None
        self._users = _parse(path.read_bytes() if path else b"[]")

    def find(self, name: str) -> User | None:
        """Return the user of exactly this name, or None."""
        self._refresh()
        return self._users.by_name.get(name)

    def credential(self, name: str) -> Credential:
        """Return a user's credential; for an unknown user, one that no password matches."""
        user = self.find(name)
        return user.credential if user else self._users.unknown

    def _refresh(self) -> None:
        now = self._monotonic()
        if self._path is None or now - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = now
        try:
            stamp: _Stamp | None = _stamp(self._path)
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return
        # Set before the file is read, so that a write during the read is noticed by the next check.
        self._stamp = stamp
        try:
            self._users = _parse(self._path.read_bytes())
        except (OSError, ValueError) as error:
            log.error("the users' file can't be used, the users stay as they were: %s", error)  # noqa: TRY400  # no fault of ours
        else:
            log.info("read %d users", len(self._users.by_name))


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
