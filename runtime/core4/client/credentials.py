"""Ways to sign in: how a request is signed, and what happens after a 401."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from core4.client.errors import ConfigurationError


class Credential(Protocol):
    """Signs requests. Threads may share one: each method reads or replaces one value."""

    def token(self) -> str | None:
        """Return the token for the next request; None if there is none.

        Raises:
            ConfigurationError: It can't be read.
        """

    def basic(self) -> str | None:
        """Return the header `Authorization` with which `/login` gives a token; None if it can't."""

    def renew(self, token: str) -> None:
        """Take a new token, of `/login` or in place of an old one."""

    def refused(self, token: str | None) -> bool:
        """Take note that the server refused a token. Return True if another one may be had."""


class Anonymous:
    """No sign-in."""

    def token(self) -> str | None:
        """Return None."""
        return None

    def basic(self) -> str | None:
        """Return None."""
        return None

    def renew(self, token: str) -> None:
        """Ignore it."""

    def refused(self, token: str | None) -> bool:
        """Return False."""
        return False


class Token(Anonymous):
    """A token of `/login`. The server's successors of it replace it.

    Args:
        token: The token; a leading `Bearer` is left out.
        store: Called with each successor, to keep it for the next program.
    """

    def __init__(self, token: str, store: Callable[[str], None] | None = None) -> None:
        self._token = bare(token)
        self._store = store

    def token(self) -> str | None:
        """Return the token."""
        return self._token

    def renew(self, token: str) -> None:
        """Replace the token."""
        self._token = token
        if self._store is not None:
            self._store(token)


class TokenFile(Anonymous):
    """A file with a token that others renew, such as a projected ServiceAccount token.

    Kubernetes replaces the file well before the token expires, so it is read again when it changes.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._read: tuple[tuple[int, int, int], str] | None = None

    def token(self) -> str | None:
        """Return the token in the file."""
        try:
            stat = self._path.stat()
            # A projected token is a symbolic link to a new file: it has another inode.
            version = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if self._read is None or self._read[0] != version:
                self._read = version, bare(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"can't read the token file {self._path}: {error}") from None
        return self._read[1]

    def refused(self, token: str | None) -> bool:
        """Return True if the file has another token by now."""
        self._read = None
        return self.token() != token


class Password(Anonymous):
    """A user and a password, which are sent to `/login` only, for a token."""

    def __init__(self, user: str, password: str) -> None:
        self._basic = basic(user, password)
        self._token: str | None = None

    def token(self) -> str | None:
        """Return the token of the last sign-in; None before the first one."""
        return self._token

    def basic(self) -> str | None:
        """Return user and password."""
        return self._basic

    def renew(self, token: str) -> None:
        """Replace the token."""
        self._token = token

    def refused(self, token: str | None) -> bool:
        """Forget the token, unless another thread has replaced it. Return True: sign in again."""
        if self._token == token:
            self._token = None
        return True


def basic(user: str, password: str) -> str:
    """Return the header `Authorization` with a user and a password.

    Raises:
        ConfigurationError: The user's name has a colon.
    """
    if ":" in user:
        raise ConfigurationError("a user's name has no colon")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bare(text: str) -> str:
    """Return a token without white space around it and without a leading `Bearer`.

    Raises:
        ConfigurationError: It is empty, or no token.
    """
    word, _, rest = text.strip().partition(" ")
    token = rest.strip() if word.lower() == "bearer" else text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError("the token is empty, or has characters that no token has")
    return token
