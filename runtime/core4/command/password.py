"""The password of `--user`: from the environment, or by a question."""

from __future__ import annotations

import os

import click

from core4.command import terminal


def ask(user: str, *, may_ask: bool) -> str:
    """Return the password of a user.

    Raises:
        UsageError: It is not in `CORE4_PASSWORD`, and can't be asked for.
    """
    if password := os.environ.get("CORE4_PASSWORD"):
        return password
    if not may_ask or not terminal.is_interactive():
        raise click.UsageError(f"Set CORE4_PASSWORD to the password of {user}.")
    answer: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return answer
