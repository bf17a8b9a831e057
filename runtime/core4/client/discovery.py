"""Find the server: argument, then environment, then context file, then the cluster.

The URL decides, and secrets follow it: those of a context are sent to the context's URL only, and
the token of a pod to the service in its cluster only. Those of the environment are sent to the URL
that is found, unless the program names a context.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core4.client.contexts import ContextFile, default_folder
from core4.client.credentials import Anonymous, Credential, Password, Token, TokenFile
from core4.client.errors import ConfigurationError
from core4.client.requests import BASE

SERVICE_TOKEN: Final = Path("/var/run/secrets/core4/token")
"""Where a pod mounts a projected token, or a Secret, for core4."""
_PORT: Final = 5001
_SERVICE: Final = "core4-api"
_LINK: Final = re.compile(r"(\w*CORE4\w*_API)_SERVICE_HOST")
"""Kubernetes' variables for the Service `<release>-api`, in pods with `enableServiceLinks`."""


@dataclass(frozen=True, slots=True)
class Given:
    """Settings that a program gives; None leaves one to the environment and the files."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the way to sign in to it.

    Attributes:
        url: URL with the base path, without a slash at its end.
        credential: The sign-in.
        ca_file: Certificates of its authority; None for those of the system.
        source: Where the URL is from, for messages.
        in_cluster: True for the service of this cluster, which no proxy can reach.
    """

    url: str
    credential: Credential
    ca_file: str | None
    source: str
    in_cluster: bool = False


def find(
    given: Given,
    environ: Mapping[str, str] = os.environ,
    file: ContextFile | None = None,
    service_token: Path = SERVICE_TOKEN,
) -> Server:
    """Return the server.

    Raises:
        ConfigurationError: None is found, or a setting can't be used.
    """
    credential = _sign_in(given.token, given.token_file, given.user, given.password)
    ca_file = given.ca_file
    if given.context is None:
        credential = credential or _environment_sign_in(environ)
        ca_file = ca_file or environ.get("CORE4_CA_FILE") or None
    ca_text = None if ca_file is None else str(ca_file)
    if given.url is not None:
        return Server(base(given.url), credential or Anonymous(), ca_text, "the argument url")
    url = environ.get("CORE4_URL")
    if url and given.context is None:
        return Server(base(url), credential or Anonymous(), ca_text, "CORE4_URL")
    file = file or ContextFile(default_folder(environ))
    name = given.context or environ.get("CORE4_CONTEXT") or None
    if (found := file.load().get(name)) is not None:
        name, context = found
        if credential is None and (token := file.token(name)) is not None:
            credential = Token(token, partial(file.save_token, name))
        return Server(
            base(context.url),
            credential or Anonymous(),
            ca_text or context.ca_file,
            f"the context {name}",
        )
    if environ.get("KUBERNETES_SERVICE_HOST"):
        if credential is None and service_token.exists():
            credential = TokenFile(service_token)
        return Server(
            base(_service(environ)), credential or Anonymous(), ca_text, "the cluster", True
        )
    raise ConfigurationError(
        "no server is known: pass a url, set CORE4_URL, or choose a context in "
        f"{file.folder / 'config.toml'}"
    )


def base(url: str) -> str:
    """Return a server's URL with the base path; a URL with a path has it already.

    Raises:
        ConfigurationError: It is not a URL of a server.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"not a URL of a server, such as https://jobs.example.com: {url!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("pass user and password apart from the URL")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"the URL of a server has no query and no fragment: {url!r}")
    path = parts.path.rstrip("/") or BASE
    return f"{parts.scheme}://{parts.netloc}{path}"


def _environment_sign_in(environ: Mapping[str, str]) -> Credential | None:
    names = ("CORE4_TOKEN", "CORE4_TOKEN_FILE", "CORE4_USER", "CORE4_PASSWORD")
    return _sign_in(*(environ.get(name) or None for name in names))


def _sign_in(
    token: str | None, token_file: str | Path | None, user: str | None, password: str | None
) -> Credential | None:
    if token is not None:
        return Token(token)
    if token_file is not None:
        return TokenFile(token_file)
    if user is not None and password is not None:
        return Password(user, password)
    if user is None and password is None:
        return None
    raise ConfigurationError("user and password go together")


def _service(environ: Mapping[str, str]) -> str:
    links = {
        match[1]: host
        for name, host in environ.items()
        if (match := _LINK.fullmatch(name)) is not None and host
    }
    if len(links) > 1:
        raise ConfigurationError(
            f"there are several services ({', '.join(sorted(links))}): set CORE4_URL"
        )
    for prefix, host in links.items():
        port = environ.get(f"{prefix}_SERVICE_PORT") or _PORT
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"http://{_SERVICE}:{_PORT}"
