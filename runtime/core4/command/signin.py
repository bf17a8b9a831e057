"""`login`, `logout` and `whoami`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import click

from core4.client.contexts import Context, ContextFile
from core4.client.credentials import bare
from core4.client.errors import ConfigurationError
from core4.command import connection, output, password, terminal, times
from core4.command.app import command
from core4.command.connection import Connection
from core4.command.output import Format

_DEFAULT: Final = "default"


@command(
    "login",
    "Sign in and remember the token in the current context. The first sign-in at a --url makes a "
    "context of it.",
)
@click.option("--user", metavar="NAME", help="The user; asked for if left out.")
@click.option("--with-token", is_flag=True, help="Read a token from stdin.")
@click.option("--name", metavar="CONTEXT", help="Name of the context to make or change.")
def login_command(*, user: str | None, with_token: bool, name: str | None) -> None:
    """Sign in."""
    from core4.client import Client  # noqa: PLC0415  # HTTP is imported where it is used

    wanted, file = connection.current(), ContextFile()
    if wanted.via is not None:
        raise click.UsageError("A token of --via can't be remembered: its URL changes.")
    name, context = _context(wanted, file, name)
    token = bare(sys.stdin.read()) if with_token else None
    if token is None:
        user = user or _asked_user(wanted)
        secret = password.ask(user, may_ask=wanted.ask)
        with Client(context.url, ca_file=context.ca_file, user=user, password=secret) as client:
            token = client.login(user, secret)
    with Client(context.url, ca_file=context.ca_file, token=token) as client:
        profile = client.profile()
    contexts = file.load().having(name, replace(context, user=profile.name)).using(name)
    file.save(contexts)
    file.save_token(name, token)
    click.echo(f"Signed in at {context.url} as {profile.name}, context {name}.", err=True)


def _context(wanted: Connection, file: ContextFile, name: str | None) -> tuple[str, Context]:
    """Return the context to sign in to: of a new URL, by its name, or the current one."""
    contexts = file.load()
    if wanted.url is not None:
        host = urlsplit(wanted.url).hostname or _DEFAULT
        return name or host, Context(wanted.url, ca_file=wanted.ca_file)
    found = contexts.get(name or wanted.context)
    if found is None:
        raise ConfigurationError("no server is known: core4 login --url https://jobs.example.com")
    return found


def _asked_user(wanted: Connection) -> str:
    if not wanted.ask or not terminal.is_interactive():
        raise click.UsageError("Say who signs in: --user NAME, or --with-token.")
    answer: str = click.prompt("User", err=True)
    return answer


@command("logout", "Forget the token of the current context.")
def logout_command() -> None:
    """Sign out."""
    file = ContextFile()
    found = file.load().get(connection.current().context)
    if found is None:
        raise ConfigurationError("there is no current context")
    file.save_token(found[0], None)
    click.echo(f"Forgot the token of context {found[0]}.", err=True)


@command("whoami", "Show the signed-in user and what the user may do.")
@output.options
def whoami_command(*, form: str, headers: bool, quiet: bool) -> None:
    """Show the user."""
    shape = Format.NAME if quiet else Format(form)
    with connection.current().client() as client:
        profile, url = client.profile(), client.url
    if shape is Format.NAME:
        click.echo(profile.name)
    elif shape in {Format.JSON, Format.YAML, Format.JSONL}:
        output.write_one(profile.raw, shape)
    else:
        may = [name for name, allowed in (profile.can or {}).items() if allowed]
        time = times.local if sys.stdout.isatty() else times.iso
        pairs = {
            "User": profile.name,
            "Name": profile.realname or "",
            "Server": url,
            "May": ", ".join(may),
            "Roles": ", ".join(profile.role),
            "Token ends": time(profile.token_expires),
        }
        for title, text in pairs.items():
            if text:
                click.echo(f"{title + ':':<11} {terminal.one_line(text)}")
