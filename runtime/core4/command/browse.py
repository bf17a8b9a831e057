"""`open`: open a job in the browser."""

from __future__ import annotations

import sys

import click

from core4.command import completing, connection, ids
from core4.command.app import command


@command("open", "Open a job, or the queue, in the browser; without a terminal, print the URL.")
@click.argument("text", metavar="[ID]", required=False, shell_complete=completing.job_ids)
def open_command(*, text: str | None) -> None:
    """Open a job."""
    with connection.current().client() as client:
        path = "/job" if text is None else f"/job/{ids.resolve(client, [text])[0]}"
        url = client.url + path
    click.echo(url)
    if sys.stdout.isatty():
        click.launch(url)
