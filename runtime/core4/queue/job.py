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


# The limit applies to the status, which is read often; the log keeps the whole message.
MAX_PROGRESS_MESSAGE = 4_096


class CoreJob:
    """A job: subclass it, name an author, and implement `execute`.

    The class attributes are the job's properties. Properties of the enqueue request take precedence
    over those of the cluster's configuration, and these over the class attributes. `schedule` and
    `author` are not inherited.
    """

    author: ClassVar[str | None] = None
    """The person responsible for the job. Required, in the class itself."""
    schedule: ClassVar[str | None] = None
    """Crontab of five fields, of six (the last is seconds), or a form such as `@daily`."""
    time_zone: ClassVar[str | None] = None
    """The time zone of the schedule, such as `Europe/Berlin`; None means UTC."""
    schedule_policy: ClassVar[str] = "Skip"
    """Policy for a scheduled time while an equal job is in the queue.

    `Skip` skips that time; `Replace` replaces the job if it has stopped.
    """
    tag: ClassVar[str | Sequence[str] | None] = None
    """Tags of the job in the catalogue."""
    attempts: int = 1
    """Number of failed trials after which the job ends in `error`."""
    error_time: int = 600
    """Seconds between a failed trial and the next."""
    defer_time: int = 300
    """Seconds between a deferral and the next trial."""
    defer_max: int = 3600
    """Seconds after the first start when a job that keeps deferring becomes inactive."""
    wall_time: int | None = None
    """Seconds of one trial after which the job is flagged `nonstop`; it keeps running."""
    zombie_time: int = 1800
    """Seconds without progress after which the job is flagged `zombie`; it keeps running."""
    priority: int = 0
    """Priority in the queue; jobs with a higher one start first."""
    force: bool = False
    """True to start the job before all others and regardless of the limits."""
    max_parallel: int | None = None
    """Maximum number of running jobs of this class; None leaves it to the installation."""
    progress_interval: int = 5
    """Minimum number of seconds between two progress reports."""
    worker: str | None = None
    """Name of the node that must run the job; None for any."""

    _context: JobContext
    _next_progress: float
    _held_progress: tuple[float, str] | None
    _last_value: float

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Create a job that can be used outside a run, such as in its author's unit tests."""
        self = super().__new__(cls)
        self._bind(JobContext({"qualName": cls.qual_name()}))
        return self

    @classmethod
    def create(cls, context: JobContext) -> Self:
        """Create the job of a run.

        The context is set before `__init__` runs, so that a subclass's own can use it.
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
        # A property that the run sets takes precedence over the class's.
        if context.progress_interval is not None:
            self.progress_interval = context.progress_interval
        if context.identifier is not None:
            self.attempts = context.attempts

    @classmethod
    def qual_name(cls) -> str:
        """Return the name of the job in the catalogue: module and class."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work, with the arguments that the job was enqueued with as keyword arguments.

        Returning completes the job, an exception fails the trial, and `defer` defers it.
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
        """The number of this trial, from 1."""
        return self._context.trial

    @property
    def attempts_left(self) -> int:
        """The number of trials that may still fail, including this one."""
        return self._context.attempts_left

    @property
    def enqueued(self) -> dict[str, Any]:
        """The time and origin of the enqueue request.

        The keys are `at` (UTC datetime without an offset), `username`, `hostname`, `parent_id`.
        """
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
        """The job's logger; all levels from DEBUG on are stored."""
        # Created at first use, so that a job that logs nothing does not import logging.
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
        """Report the job's progress, which also shows that the job is alive.

        At most one report in `progress_interval` seconds is written. The first one, forced ones,
        that of 100 % and the last one of the trial are always written.

        Args:
            value: From 0 to 1; values outside are clamped, and NaN repeats the last value.
            message: A text, %-formatted with `args`.
            args: Arguments of the message.
            force: True to write the report now.
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
        """Write the last progress if it was held back; the runner calls this at the end."""
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
        """End this trial; the next one starts after `defer_time` seconds.

        Args:
            reason: The reason, %-formatted with `args`.
            args: Arguments of the reason.

        Raises:
            CoreJobDeferred: Always.
        """
        raise CoreJobDeferred(_format(reason, args))

    def set_source(self, source: str | os.PathLike[str]) -> None:
        """Report a file or other source that the job works on; only its base name is kept."""
        name = os.path.basename(os.fspath(source))  # noqa: PTH119 - pathlib costs start-up
        name = name[:_LONGEST_SOURCE]
        if name not in self._context.sources:
            self._context.sources[name] = None
            self._context.reports.source(name)


_LONGEST_SOURCE = 100_000
"""Maximum number of characters, so that a protocol line stays below 1 MiB.

The service stores less, and logs a warning then.
"""


def _format(message: object, args: tuple[object, ...]) -> str:
    """Format as logging does; a message that does not fit its arguments raises no error."""
    text = "" if message is None else str(message)
    if not args:
        return text
    try:
        return text % args
    except (TypeError, ValueError, KeyError):
        return f"{text} {args!r}"
