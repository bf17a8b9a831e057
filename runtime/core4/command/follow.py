"""`follow`: follow a job; and the options that all following commands share."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import click

from core4.command import completing, connection, followed, ids, output, terminal
from core4.command.app import command
from core4.command.followed import End, Manner
from core4.command.lines import Look
from core4.command.times import Moment, Span


class OutputForm(StrEnum):
    """Forms of the stdout of a following command."""

    LOG = "log"
    JSONL = "jsonl"
    NAME = "name"
    JSON = "json"
    YAML = "yaml"


_FORMS = tuple(form.value for form in OutputForm)
_FILTERS = ("level", "grep", "since", "tail")


def record_options(function: Any) -> Any:
    """Add the options that choose records and give their look."""
    for option in (
        click.option("--no-prefix", "prefix", flag_value=False, is_flag=True, default=True,
                     help="Leave the levels out."),
        click.option("--timestamps", is_flag=False, flag_value="utc",
                     type=click.Choice(["utc", "local", "since"]),
                     help="Begin each record with its time."),
        click.option("--with-output", "printed", is_flag=True,
                     help="Add what the job printed, each line after the record before it."),
        click.option("--tail", metavar="N", type=click.IntRange(0), help="The last N records."),
        click.option("--since", type=Moment(), help="Records of this time or later."),
        click.option("--grep", metavar="REGEX", help="Records that match (RE2)."),
        click.option("--level", metavar="LEVEL", help="Records of at least this level."),
    ):  # fmt: skip
        function = option(function)
    return function


def following(function: Any) -> Any:
    """Add the options of a command that follows a job."""
    for option in (
        click.option("-o", "--output", "form", type=click.Choice(_FORMS),
                     default=OutputForm.LOG.value, show_default=True,
                     help="Form of stdout: the log, all events as JSON, or the job at its end."),
        click.option("--kill-on-interrupt", is_flag=True,
                     help="Ctrl-C and SIGTERM kill the job; otherwise it goes on."),
        click.option("--fail-on-gap", is_flag=True,
                     help="Exit with 1 if lines of the log are missing."),
        click.option("--timeout", type=Span(), help="Give up after this time; the job goes on."),
        record_options,
    ):  # fmt: skip
        function = option(function)
    return function


def look_of(how: Mapping[str, Any]) -> Look:
    """Return the look that the options give."""
    colour = terminal.has_colour(connection.current(), sys.stdout)
    return Look(how["timestamps"], prefix=how["prefix"], colour=colour)


def filters_of(how: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of the log that the options give."""
    given = {name: how[name] for name in _FILTERS if how[name] is not None}
    return {**given, "output": True} if how["printed"] else given


def manner_of(form: OutputForm, how: Mapping[str, Any], *, log: bool = True) -> Manner:
    """Return the manner that the options give."""
    return Manner(
        look_of(how),
        log=log and form is OutputForm.LOG,
        objects=form is OutputForm.JSONL,
        fail_on_gap=how["fail_on_gap"],
        kill_on_interrupt=how["kill_on_interrupt"],
        timeout=how["timeout"],
        filters=filters_of(how),
    )


def write_end(job_id: str, end: End, form: OutputForm) -> int:
    """Write the job at its end, if the form is for that; return the exit code."""
    if end.document is not None and form is OutputForm.NAME:
        click.echo(job_id)
    elif end.document is not None and form in {OutputForm.JSON, OutputForm.YAML}:
        output.write_one(end.document.raw, output.Format(form))
    return end.code


@command(
    "follow", "Follow the states and the log of a job to its end; the exit code is its result."
)
@click.argument("text", metavar="ID", shell_complete=completing.job_ids)
@following
def follow_command(*, text: str, form: str, **how: Any) -> int:
    """Follow a job."""
    shape = OutputForm(form)
    with connection.current().client() as client:
        (job_id,) = ids.resolve(client, [text])
        end = followed.follow(client.job(job_id), manner_of(shape, how))
        return write_end(job_id, end, shape)
