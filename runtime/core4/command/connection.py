"""The options that name the server and the sign-in, and the client that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

T = TypeVar("T", bound=Callable[..., Any])

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core4.client import Client


@dataclass(slots=True)
class Connection:
    """Where to connect to, as the command line says; None leaves it to environment and files.

    Attributes:
        url: URL of the server.
        token: A token.
        context: Name of a context.
        ca_file: Certificates of the server's authority.
        via: `kubectl[:namespace/service]`: reach the service through `kubectl port-forward`.
        debug: True to print request ids and tracebacks.
        color: `auto`, `always` or `never`.
        ask: False to ask nothing.
    """

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    context: str | None = None
    ca_file: str | None = None
    via: str | None = None
    debug: bool = False
    color: str = "auto"
    ask: bool = True

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Open a client; close it, and what it needs, at the end.

        Raises:
            ConfigurationError: No server is known, or a setting can't be used.
        """
        # HTTP is imported by the commands that use it.
        from core4.client import Client  # noqa: PLC0415

        if self.via is None:
            with Client(self.url, **self._options()) as client:
                yield client
            return
        from core4.command.via import forwarded  # noqa: PLC0415

        with (
            forwarded(self.via) as url,
            Client(url, proxy="", **self._options()) as client,
        ):
            yield client

    def _options(self) -> dict[str, Any]:
        options = {"token": self.token, "ca_file": self.ca_file, "context": self.context}
        return {name: value for name, value in options.items() if value is not None}


def current() -> Connection:
    """Return the connection options of the running command."""
    return click.get_current_context().ensure_object(Connection)


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store an option; what the subcommand says counts more than what the group says."""
    if value is not None and parameter.name is not None:
        setattr(context.ensure_object(Connection), parameter.name, value)


def _option(*names: str, **settings: Any) -> Callable[[T], T]:
    return click.option(*names, expose_value=False, callback=_set, **settings)


_OPTIONS = (
    _option("--url", metavar="URL", help="URL of the server."),
    _option("--token", help="A token."),
    _option("--context", metavar="NAME", help="A context of the context file."),
    _option("--ca-file", metavar="FILE", help="Certificates of the server's authority."),
    _option(
        "--via",
        metavar="kubectl[:NAMESPACE/SERVICE]",
        help="Reach the service through kubectl port-forward.",
    ),
    _option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        help="Colours; auto by default.",
    ),
    _option("--debug", is_flag=True, default=None, help="Print request ids and tracebacks."),
    _option("--no-input", "ask", flag_value=False, is_flag=True, default=None, help="Ask nothing."),
)


def options(function: T) -> T:
    """Add the options of the connection to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
