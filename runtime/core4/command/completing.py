"""Complete ids, names of jobs and contexts; a server that is slow or away completes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from core4.client.contexts import ContextFile
from core4.client.errors import Core4Error
from core4.command.ids import LATEST

if TYPE_CHECKING:
    from core4.client import Client

_MOST: Final = 200
"""Most words that are offered."""
_TIMEOUT_S: Final = 2.0

Words = Callable[[str], Iterator[CompletionItem]]


def job_ids(
    _context: click.Context, _parameter: click.Parameter, beginning: str
) -> list[CompletionItem]:
    """Return the ids of jobs in the queue, with name and state as help."""

    def words(text: str) -> Iterator[CompletionItem]:
        with _client() as client:
            for job in client.queue():
                if job.id.startswith(text.lower()):
                    yield CompletionItem(job.id, help=f"{job.qual_name} {job.state}")
        if LATEST.startswith(text):
            yield CompletionItem(LATEST)

    return _quietly(words, beginning)


def qual_names(
    _context: click.Context, _parameter: click.Parameter, beginning: str
) -> list[CompletionItem]:
    """Return the names of the jobs that the user may enqueue."""

    def words(text: str) -> Iterator[CompletionItem]:
        with _client() as client:
            for entry in client.jobs():
                if entry.qual_name.startswith(text):
                    doc = (entry.doc or "").strip().partition("\n")[0]
                    yield CompletionItem(entry.qual_name, help=doc or None)

    return _quietly(words, beginning)


def contexts(
    _context: click.Context, _parameter: click.Parameter, beginning: str
) -> list[CompletionItem]:
    """Return the names of the contexts."""

    def words(text: str) -> Iterator[CompletionItem]:
        for name in sorted(ContextFile().load().contexts):
            if name.startswith(text):
                yield CompletionItem(name)

    return _quietly(words, beginning)


def _quietly(words: Words, beginning: str) -> list[CompletionItem]:
    found: list[CompletionItem] = []
    try:
        found.extend(islice(words(beginning), _MOST))
    except Core4Error:
        # An error text would stand in the middle of the user's command line.
        return found
    return found


@contextmanager
def _client() -> Iterator[Client]:
    from core4.client import Client, Retries, Timeouts  # noqa: PLC0415

    timeouts = Timeouts(connect=_TIMEOUT_S, read=_TIMEOUT_S)
    with Client(timeouts=timeouts, retries=Retries(attempts=1)) as client:
        yield client
