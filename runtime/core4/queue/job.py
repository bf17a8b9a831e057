"""The base class of all jobs: `from core4.queue.job import CoreJob`."""

from __future__ import annotations

import os
import time

from core4.error import CoreJobDeferred
from core4.queue.context import JobContext
from core4.queue.cookie import Cookie

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence
    from typing import Any, ClassVar, NoReturn, Self


# The log keeps the whole message; this goes into a status that is read at every glance.
MAX_PROGRESS_MESSAGE = 4_096


class CoreJob:
    """A job: subclass it, name an author, and implement `execute`.

    The class attributes are the job's properties. What somebody enqueues, and then what the
    cluster's configuration says, goes before them. `schedule` and `author` are not inherited.
    """

    author: ClassVar[str | None] = None
    """Who answers for the job. Required, in the class itself."""
    schedule: ClassVar[str | None] = None
    """Crontab: five fields, `@daily` and the like, or six fields of which the last is seconds."""
    time_zone: ClassVar[str | None] = None
    """The time zone of the schedule, such as `Europe/Berlin`; None means UTC."""
    schedule_policy: ClassVar[str] = "Skip"
    """At a time of the schedule while the same job is in the queue: `Skip` it, or `Replace` one
    that has stopped."""
    tag: ClassVar[str | Sequence[str] | None] = None
    """Words to find the job by in the catalogue."""
    attempts: int = 1
    """Trials that may fail before the job ends in `error`."""
    error_time: int = 600
    """Seconds between a failed trial and the next."""
    defer_time: int = 300
    """Seconds between a deferral and the next trial."""
    defer_max: int = 3600
    """Seconds after the first start when a job that keeps deferring turns inactive."""
    wall_time: int | None = None
    """Seconds of one trial after which the job is flagged `nonstop`; it runs on."""
    zombie_time: int = 1800
    """Seconds without progress after which the job is flagged `zombie`; it runs on."""
    priority: int = 0
    """Higher goes first."""
    force: bool = False
    """Goes first of all and outside the limits."""
    max_parallel: int | None = None
    """How many jobs of this class run at once; None leaves it to the installation."""
    progress_interval: int = 5
    """Least seconds between two progress reports."""
    worker: str | None = None
    """The node that must run the job."""

    _context: JobContext
    _next_progress: float
    _held_progress: tuple[float, str] | None
    _last_value: float

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Prepare the job for a use outside a run, such as its author's unit tests."""
        self = super().__new__(cls)
        self._bind(JobContext({"qualName": cls.qual_name()}))
        return self

    @classmethod
    def create(cls, context: JobContext) -> Self:
        """Make the job of a run.

        The context is there before `__init__`, so that a class with its own can use all of it.
        """
        self = cls.__new__(cls)
        self._bind(context)
        self.__init__()  # type: ignore[misc]
        return self

    def _bind(self, context: JobContext) -> None:
        self._context = context
        self._next_progress = 0.0
        self._held_progress = None
        self._last_value = 0.0
        # A property that the run sets goes before the class's; otherwise the class's shows.
        if context.progress_interval is not None:
            self.progress_interval = context.progress_interval
        if context.identifier is not None:
            self.attempts = context.attempts

    @classmethod
    def qual_name(cls) -> str:
        """Return the name that the catalogue knows the job by: module and class."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; the keyword arguments are those that the job was enqueued with.

        Returning completes the job, an exception fails the trial, `defer` puts it off.
        """
        raise NotImplementedError(f"{self.qual_name()} has no execute method")

    @property
    def identifier(self) -> str | None:
        """The job's id; None outside a run."""
        return self._context.identifier

    @property
    def _id(self) -> str | None:
        return self._context.identifier

    @property
    def args(self) -> dict[str, Any]:
        """The arguments that the job was enqueued with."""
        return self._context.args

    @property
    def trial(self) -> int:
        """Which trial this is, from 1."""
        return self._context.trial

    @property
    def attempts_left(self) -> int:
        """How many trials may still fail, this one included."""
        return self._context.attempts_left

    @property
    def enqueued(self) -> dict[str, Any]:
        """Who enqueued the job, and when: `at` (UTC datetime), username, hostname, parent_id."""
        from datetime import datetime  # noqa: PLC0415 - only when needed

        enqueued = dict(self._context.enqueued)
        if isinstance(enqueued.get("at"), str):
            enqueued["at"] = datetime.fromisoformat(enqueued["at"])
        return enqueued

    @property
    def sources(self) -> list[str]:
        """Base names of the sources reported so far."""
        return list(self._context.sources)

    @property
    def logger(self) -> logging.Logger:
        """The job's log; all levels from DEBUG are kept."""
        # Made at first use: a job that logs nothing does not wait for the import of logging.
        logger = self.__dict__.get("_logger")
        if logger is None:
            logger = self._context.reports.logger(self.qual_name())
            self.__dict__["_logger"] = logger
        return logger

    @property
    def cookie(self) -> Cookie:
        """The key-value store that all jobs of this class share."""
        cookie = self.__dict__.get("_cookie")
        if cookie is None:
            cookie = Cookie(self._context.cookie, self._context.reports)
            self.__dict__["_cookie"] = cookie
        return cookie

    def progress(
        self, value: float, message: object = "", *args: object, force: bool = False
    ) -> None:
        """Report how far the job is; it also says that the job is alive.

        Reports are thinned out to one in `progress_interval` seconds. The first one, forced
        ones, that of 100 % and the last one of the trial are always written.

        Args:
            value: From 0 to 1; what is outside is moved to the border, NaN is the last value.
            message: A text, with %-format for `args`.
            args: Arguments of the message.
            force: Write it now.
        """
        value = self._check_value(value)
        text = _format(message, args)
        now = time.monotonic()
        complete = value >= 1.0 > self._last_value
        self._last_value = value
        if force or complete or now >= self._next_progress:
            self._next_progress = now + self.progress_interval
            self._report_progress(value, text)
        else:
            self._held_progress = (value, text)

    def flush_progress(self) -> None:
        """Write the last progress if it is still held back; the runner does it at the end."""
        if self._held_progress is not None:
            self._report_progress(*self._held_progress)

    def _report_progress(self, value: float, text: str) -> None:
        self._held_progress = None
        self._context.reports.progress(value, text[:MAX_PROGRESS_MESSAGE])
        self.logger.debug("progress [%.0f%%] - %s", value * 100, text)

    def _check_value(self, value: float) -> float:
        if isinstance(value, str | bytes):
            raise TypeError(f"expected a number as progress, got {value!r}")
        number = float(value)
        if number != number:  # noqa: PLR0124 - NaN, and math is not imported for it
            return self._last_value
        return min(1.0, max(0.0, number))

    def defer(self, reason: object = "", *args: object) -> NoReturn:
        """End this trial; the next one starts in `defer_time` seconds.

        Args:
            reason: Why, with %-format for `args`.
            args: Arguments of the reason.
        """
        raise CoreJobDeferred(_format(reason, args))

    def set_source(self, source: str | os.PathLike[str]) -> None:
        """Say which file or other source the job works on; its base name is kept."""
        name = os.path.basename(os.fspath(source))  # noqa: PTH119 - pathlib costs start-up
        name = name[:_LONGEST_SOURCE]
        if name not in self._context.sources:
            self._context.sources[name] = None
            self._context.reports.source(name)


_LONGEST_SOURCE = 100_000
"""A line of the protocol has 1 MiB at most; the service keeps less, and says so."""


def _format(message: object, args: tuple[object, ...]) -> str:
    """Format as logging does; a message that does not fit its arguments is no error."""
    text = "" if message is None else str(message)
    if not args:
        return text
    try:
        return text % args
    except (TypeError, ValueError, KeyError):
        return f"{text} {args!r}"
