"""`kill`, `restart` and `rm`: for single jobs, and for all that options choose."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from core4.client.errors import Core4Error, NotSignedInError
from core4.command import (
    completing,
    confirm,
    connection,
    exits,
    followed,
    ids,
    terminal,
    typing_args,
)
from core4.command.app import command, report
from core4.command.exits import Exit
from core4.command.followed import Manner
from core4.command.lines import Look
from core4.command.listing import choosing
from core4.command.typing_args import BadArgumentError

if TYPE_CHECKING:
    from core4.client import Client, Job

Action = Callable[["Job"], str]
"""Acts on a job, and returns what stdout says: an id."""

_DONE: Final = {"kill": "killed", "restart": "restarted", "remove": "removed"}


def _steering(function: Any) -> Any:
    for option in (
        click.option("-y", "--yes", is_flag=True, help="Ask nothing."),
        choosing,
        click.argument("texts", metavar="[ID]…", nargs=-1, shell_complete=completing.job_ids),
    ):
        function = option(function)
    return function


@command("kill", "Kill jobs, by id or all that the options choose.")
@_steering
def kill_command(*, texts: tuple[str, ...], yes: bool, **chosen: Any) -> int:
    """Kill jobs."""

    def kill(job: Job) -> str:
        job.kill()
        return job.id

    return _steer("kill", kill, texts, yes=yes, chosen=chosen)


@command("rm", "Remove jobs from the queue, by id or all that the options choose.")
@_steering
def rm_command(*, texts: tuple[str, ...], yes: bool, **chosen: Any) -> int:
    """Remove jobs."""

    def remove(job: Job) -> str:
        job.remove()
        return job.id

    return _steer("remove", remove, texts, yes=yes, chosen=chosen)


@command("restart", "Restart jobs, by id or all that the options choose; print the new ids.")
@click.option("--follow", "live", is_flag=True, help="Follow the job; for one id.")
@click.option(
    "--args",
    "changed",
    metavar="JSON",
    help="Enqueue the job anew with these arguments changed; for one id.",
)
@_steering
def restart_command(
    *, texts: tuple[str, ...], yes: bool, live: bool, changed: str | None, **chosen: Any
) -> int:
    """Restart jobs."""
    if live or changed is not None:
        return _restart_one(texts, chosen, live=live, changed=changed)
    return _steer("restart", lambda job: job.restart().id, texts, yes=yes, chosen=chosen)


def _restart_one(
    texts: Sequence[str], chosen: dict[str, Any], *, live: bool, changed: str | None
) -> int:
    """Restart one job, with changed arguments if wanted, and follow it if wanted."""
    if len(texts) != 1 or any(value is not None for value in chosen.values()):
        raise click.UsageError("--follow and --args are for one id.")
    with connection.current().client() as client:
        (job_id,) = ids.resolve(client, texts)
        job = client.job(job_id)
        if changed is None:
            new = job.restart()
        else:
            document = job.document()
            try:
                args = {**(document.args or {}), **typing_args.json_object("--args", changed)}
            except BadArgumentError as error:
                raise click.UsageError(str(error)) from None
            new = client.enqueue(document.qual_name, args)
        ids.remember(client, new.id)
        if not live:
            click.echo(new.id)
            return Exit.OK
        click.echo(f"-- job {new.id} --", err=True)
        colour = terminal.has_colour(connection.current(), sys.stdout)
        return followed.follow(new, Manner(Look(colour=colour))).code


def _steer(
    verb: str,
    act: Action,
    texts: Sequence[str],
    *,
    yes: bool,
    chosen: dict[str, Any],
) -> int:
    """Act on the jobs one after the other; an error of one doesn't stop the others."""
    with connection.current().client() as client:
        worst = Exit.OK
        for job_id in _ids(client, verb, texts, yes=yes, chosen=chosen):
            try:
                result = act(client.job(job_id))
            except NotSignedInError:
                raise
            except Core4Error as error:
                report(error, debug=connection.current().debug)
                worst = max(worst, exits.of(error))
            else:
                click.echo(result)
                told = f"{_DONE[verb]} {job_id}"
                click.echo(told if result == job_id else f"{told} as {result}", err=True)
        return worst


def _ids(
    client: Client, verb: str, texts: Sequence[str], *, yes: bool, chosen: dict[str, Any]
) -> list[str]:
    given = {name: value for name, value in chosen.items() if value is not None}
    if texts and given:
        raise click.UsageError("Give ids, or options that choose jobs, not both.")
    if texts:
        return ids.resolve(client, texts)
    if not given:
        raise click.UsageError("Give ids, or options that choose jobs, such as --state failed.")
    found = [job.id for job in client.queue(**given)]
    if not found:
        click.echo("No job in the queue matches.", err=True)
        return []
    number = "1 job" if len(found) == 1 else f"{len(found)} jobs"
    confirm.sure(f"{verb.capitalize()} {number}?", yes=yes)
    return found
