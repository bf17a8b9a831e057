"""Ask before many jobs are changed."""

from __future__ import annotations

import click

from core4.command import connection, terminal


def sure(question: str, *, yes: bool) -> None:
    """Ask a question, unless `yes`; without a terminal, `-y` is needed.

    Raises:
        Abort: The answer is no.
        UsageError: The question can't be asked.
    """
    if yes:
        return
    if not terminal.is_interactive() or not connection.current().ask:
        raise click.UsageError(f"{question} Say -y to do it without a question.")
    click.confirm(question, abort=True, err=True)
