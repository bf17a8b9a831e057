"""The common base of the clients for threads and for asyncio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict, Unpack

from core4.client import discovery, proxies
from core4.client.retry import Retries
from core4.client.session import Session, Timeouts


class Options(TypedDict, total=False):
    """Arguments of a client, all of them optional.

    Attributes:
        token: A token.
        token_file: A file with a token, which is read again when it changes.
        user: A user, who signs in with `password`.
        password: The user's password.
        ca_file: Certificates of the server's authority; by default those of the system.
        context: Name of a context of the context file.
        proxy: URL of an HTTP proxy; "" for none; by default that of the environment.
        timeouts: Limits in seconds.
        retries: What is repeated, and how patiently.
    """

    token: str | None
    token_file: str | Path | None
    user: str | None
    password: str | None
    ca_file: str | Path | None
    context: str | None
    proxy: str | None
    timeouts: Timeouts | None
    retries: Retries | None


class BaseClient:
    """A client of one core4 server.

    The server is found in this order: the arguments, the environment (`CORE4_URL`), the context
    file, the cluster in which the program runs (docs/client.md, "The server").

    Args:
        url: URL of the server, such as `https://jobs.example.com`.
        options: See `Options`.

    Raises:
        ConfigurationError: No server is found, or a setting can't be used.
    """

    def __init__(self, url: str | None = None, **options: Unpack[Options]) -> None:
        given = discovery.Given(
            url,
            token=options.get("token"),
            token_file=options.get("token_file"),
            user=options.get("user"),
            password=options.get("password"),
            ca_file=options.get("ca_file"),
            context=options.get("context"),
        )
        if unknown := options.keys() - Options.__annotations__.keys():
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}")
        self._server = discovery.find(given)
        self._session = Session(
            self._server.credential,
            options.get("timeouts") or Timeouts(),
            options.get("retries") or Retries(),
        )
        self._proxy = _proxy(self._server, options.get("proxy"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.url}>"

    @property
    def url(self) -> str:
        """The server's URL with the base path."""
        return self._server.url

    @property
    def source(self) -> str:
        """Where the URL is from, such as `CORE4_URL` or `the context prod`."""
        return self._server.source


class BaseJob:
    """A job of the server.

    Attributes:
        id: Its id.
    """

    def __init__(self, job_id: str) -> None:
        self.id = job_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def _proxy(server: discovery.Server, given: str | None) -> proxies.Proxy | None:
    if given is not None:
        return proxies.parse(given) if given else None
    return None if server.in_cluster else proxies.proxy_for(server.url, os.environ)
