"""`wait`: wait until jobs have ended."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from core4.client.errors import Core4Error, DeadlineError
from core4.client.results import JobDocument
from core4.command import completing, connection, exits, ids, lines
from core4.command.app import command, report
from core4.command.exits import Exit
from core4.command.times import Span

if TYPE_CHECKING:
    from core4.client import Client

_MOST_AT_ONCE = 100
"""Jobs that one command waits for with `--any`: each has a connection."""


@command("wait", "Wait until jobs have ended; the exit code is that of the worst one.")
@click.argument("texts", metavar="ID…", nargs=-1, required=True, shell_complete=completing.job_ids)
@click.option("--any", "first", is_flag=True, help="Wait for the first one only.")
@click.option("--timeout", type=Span(), help="Give up after this time; the jobs go on.")
def wait_command(*, texts: tuple[str, ...], first: bool, timeout: float | None) -> int:
    """Wait for jobs."""
    with connection.current().client() as client:
        job_ids = list(dict.fromkeys(ids.resolve(client, texts)))
        if first and len(job_ids) > _MOST_AT_ONCE:
            raise click.UsageError(f"--any takes at most {_MOST_AT_ONCE} jobs.")
        wait = _first if first else _all
        worst = Exit.OK
        for job_id, end in wait(client, job_ids, timeout):
            worst = max(worst, _tell(job_id, end))
        return worst


def _tell(job_id: str, end: JobDocument | Core4Error) -> Exit:
    """Print the end of a job, and return its exit code."""
    if isinstance(end, Core4Error):
        report(end, debug=connection.current().debug)
        return exits.of(end)
    click.echo(f"{job_id} {lines.state_line(end)}")
    return Exit.OK if end.is_complete else Exit.JOB


def _all(
    client: Client, job_ids: Sequence[str], timeout: float | None
) -> Iterator[tuple[str, JobDocument | Core4Error]]:
    """Yield the ends of all jobs, in the order of the ids."""
    began = time.monotonic()
    for job_id in job_ids:
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        yield job_id, _end(client, job_id, left)


def _first(
    client: Client, job_ids: Sequence[str], timeout: float | None
) -> Iterator[tuple[str, JobDocument | Core4Error]]:
    """Yield the end of the job that ends first."""
    ends: queue.Queue[tuple[str, JobDocument | Core4Error]] = queue.Queue()
    for job_id in job_ids:
        # Daemons: the threads of the other jobs must not keep the process.
        threading.Thread(
            target=lambda job_id=job_id: ends.put((job_id, _end(client, job_id, timeout))),
            daemon=True,
        ).start()
    yield ends.get()


def _end(client: Client, job_id: str, timeout: float | None) -> JobDocument | Core4Error:
    try:
        return client.job(job_id).wait(timeout)
    except DeadlineError as error:
        return DeadlineError(f"job {job_id} has not ended: {error}")
    except Core4Error as error:
        return error
