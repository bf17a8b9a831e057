"""`completion`: print a completion script for a shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from core4.command.app import SETTINGS, group

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    "completion",
    help="""Print a completion script.

    \b
    bash: eval "$(core4 completion bash)"
    zsh:  eval "$(core4 completion zsh)"
    fish: core4 completion fish | source
    """,
    context_settings=SETTINGS,
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion_command(*, shell: str) -> None:
    """Print the script."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(found(group, {}, "core4", "_CORE4_COMPLETE").source())
