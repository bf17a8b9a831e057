"""Follow a job to its end: print its log and its story, and find the exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from core4.client.results import Close, Event, Gap, JobDocument, Lagged, Log, State
from core4.command import lines
from core4.command.exits import Exit
from core4.command.lines import Look, Records
from core4.command.statusline import StatusLine

if TYPE_CHECKING:
    from core4.client import Job

_TENTHS: Final = 10


@dataclass(frozen=True, slots=True)
class Manner:
    """The manner in which a job is followed.

    Attributes:
        look: Look of the records.
        log: False to print no records.
        objects: True to print each event as a JSON object instead.
        fail_on_gap: True if a complete job with missing lines counts as not complete.
        kill_on_interrupt: True to kill the job at Ctrl-C or SIGTERM.
        timeout: Seconds after which to give up; the job goes on.
        filters: Filters of the log.
    """

    look: Look
    log: bool = True
    objects: bool = False
    fail_on_gap: bool = False
    kill_on_interrupt: bool = False
    timeout: float | None = None
    filters: dict[str, Any] | None = None


@dataclass(slots=True)
class End:
    """The end of a followed job.

    Attributes:
        code: The exit code.
        document: The job's last document; None if none came.
    """

    code: Exit
    document: JobDocument | None = None


class Printer:
    """Prints the events of one job.

    Attributes:
        line: The changing line.
        document: The job's last document; None before the first one.
        has_gap: True if lines are missing.
        is_closed: True once the stream has told its end.
        position: Id of the last record; None before the first one.
    """

    def __init__(self, manner: Manner) -> None:
        self.line = StatusLine()
        self.document: JobDocument | None = None
        self.has_gap = False
        self.is_closed = False
        self.position: str | None = None
        self._manner = manner
        self._records = Records(manner.look)
        self._told = ""
        self._tenth = 0

    def take(self, event: Event) -> None:
        """Print an event."""
        self._note(event)
        if self._manner.objects:
            self.line.out(lines.as_json(event))
            return
        match event:
            case State(document=document):
                self._state(document)
            case Log():
                if self._manner.log:
                    self.line.out(self._records.text(event))
            case Gap():
                self.line.err(lines.gap_line(event))
            case Lagged():
                self.line.err(lines.lagged_line(event))
            case Close():
                self.line.clear()

    def _note(self, event: Event) -> None:
        match event:
            case State(document=document):
                self.document = document
            case Log():
                self.position = event.id
            case Gap():
                self.has_gap = True
            case Close():
                self.is_closed = True

    def _state(self, job: JobDocument) -> None:
        """Tell a new state; a changed reason or progress is the changing line of a terminal."""
        told = lines.state_line(job)
        waits = job.state == "pending"
        if told != self._told and not (waits and self.line.is_live):
            self.line.err(f"-- {told} --")
            self._told = told
        if job.is_final:
            self.line.clear()
            return
        self.line.show(lines.status(job))
        tenth = int(job.prog.value * _TENTHS)
        if job.state == "running" and not self.line.is_live and tenth > self._tenth:
            self._tenth = tenth
            self.line.err(lines.status(job))

    @property
    def code(self) -> Exit:
        """The exit code of what has been printed: 0 needs `close` and the state complete."""
        job = self.document
        if not self.is_closed or job is None:
            return Exit.AWAY
        if not job.is_complete:
            return Exit.JOB
        return Exit.JOB if self.has_gap and self._manner.fail_on_gap else Exit.OK


def follow(job: Job, manner: Manner) -> End:
    """Follow a job until it has ended, or until the user detaches.

    Raises:
        Core4Error: The stream is lost, or the time is over; the job goes on.
    """
    printer = Printer(manner)
    killed = False
    while True:
        try:
            with _sigterm_as_interrupt(wanted=manner.kill_on_interrupt):
                _print(job, manner, printer)
        except KeyboardInterrupt:
            printer.line.clear()
            if killed or not manner.kill_on_interrupt:
                click.echo(how_to_return(job.id), err=True)
                return End(Exit.INTERRUPTED, printer.document)
            killed = True
            click.echo(f"killing job {job.id}; Ctrl-C again detaches", err=True)
            job.kill()
        except BaseException:
            printer.line.clear()
            raise
        else:
            return End(printer.code, printer.document)


def _print(job: Job, manner: Manner, printer: Printer) -> None:
    filters = manner.filters or {}
    for event in job.follow(after=printer.position, timeout=manner.timeout, **filters):
        printer.take(event)


def how_to_return(job_id: str) -> str:
    """Return what a user who has detached can do."""
    return f"Job {job_id} goes on. Follow: core4 follow {job_id} · kill: core4 kill {job_id}"


@contextmanager
def _sigterm_as_interrupt(*, wanted: bool) -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, so that a CI system that stops kills the job too."""
    if not wanted:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
