"""Parse a log's arguments `level grep since trial tail`, and filter records by them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

from corejob import timestamps
from corejob_api.http.arguments import Arguments, mismatch
from corejob_api.http.errors import bad_request, cut
from corejob_api.query import patterns
from corejob_api.query.log_rows import LEVELS, OUTPUT_LEVEL
from corejob_api.query.patterns import Search
from corejob_journal.store import Gap, LogRecord, LogSelection, OutputLine

T = TypeVar("T")

MOST_LEVEL: Final = 9999
MOST_TRIAL: Final = 2**31 - 1
"""Greatest number of a trial in the store."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A filter of log records. Gaps are subject to `trial` only.

    Attributes:
        level: The least `levelno`.
        since: The earliest `epoch`; None: no limit.
        trial: Number of a trial; None: all trials.
        grep: A search that must match the message or the exception; None: no search.
        tail: Limit of the records stored already: only the last ones; None: all.
    """

    level: int = 0
    since: float | None = None
    trial: int | None = None
    grep: Search | None = None
    tail: int | None = None

    @classmethod
    def of(cls, arguments: Arguments) -> "LogFilter":
        """Return the filter that the arguments describe.

        Raises:
            ApiError: 400, an argument is bad; the answer names it.
        """
        return cls(
            level=_level(arguments.optional_text("level")),
            since=_since(arguments.optional_text("since", "datetime")),
            trial=_trial(arguments),
            grep=_grep(arguments.optional_text("grep")),
            tail=_tail(arguments),
        )

    @property
    def chooses(self) -> bool:
        """True if the filter can exclude records anywhere in the log; `tail` does not count."""
        selects = self.since is not None or self.trial is not None or self.grep is not None
        return self.level > 0 or selects

    def within(self, job_id: str, after: int, last: int) -> LogSelection:
        """Return the records of a part of a log that pass, but for `grep` and `tail`.

        Args:
            job_id: The job.
            after: Number before the first record of the part.
            last: Number of its last record.
        """
        return LogSelection(job_id, after, last, self.level, self.since, self.trial)

    def passes(self, record: LogRecord) -> bool:
        """True if a record passes the filter, without regard to `tail`."""
        if record.levelno < self.level:
            return False
        if self.since is not None and record.epoch < self.since:
            return False
        if self.trial not in {None, record.trial}:
            return False
        return self.finds(record.message, record.exception)

    def passes_output(self, line: OutputLine) -> bool:
        """True if a printed line passes the filter, without regard to `tail`."""
        if self.level > OUTPUT_LEVEL or (self.since is not None and line.epoch < self.since):
            return False
        if self.trial not in {None, line.trial}:
            return False
        return self.finds(line.text, None)

    def passes_gap(self, gap: Gap) -> bool:
        """True if a gap is in the wanted trial."""
        return self.trial in {None, gap.trial}

    def finds(self, message: str, exception: dict[str, Any] | None) -> bool:
        """True if `grep` matches the message or the exception, or if there is no `grep`."""
        if self.grep is None or self.grep(message):
            return True
        return exception is not None and any(self.grep(text) for text in _texts(exception))

    def with_tail(self, tail: int) -> Self:
        """Return the same filter with another `tail`."""
        return replace(self, tail=tail)

    def newest(self, passing: list[T]) -> list[T]:
        """Return the last `tail` items of `passing`, which is in ascending order."""
        return passing if self.tail is None else passing[max(0, len(passing) - self.tail) :]


EVERYTHING: Final = LogFilter()


def _texts(exception: dict[str, Any]) -> Iterator[str]:
    yield str(exception.get("info", ""))
    lines = exception.get("text")
    yield from map(str, lines if isinstance(lines, list) else ())


def _level(text: str | None) -> int:
    if text is None:
        return 0
    word = text.strip().upper()
    if word in LEVELS:
        return LEVELS[word]
    if word.isascii() and word.isdecimal() and len(word) <= len(str(MOST_LEVEL)):
        return int(word)
    names = ", ".join(LEVELS)
    raise bad_request(f"parameter [level] must be one of {names}, or a number, got [{text[:300]}]")


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _epoch(text)
    if not math.isfinite(seconds):
        raise mismatch("since", "datetime")
    return seconds


def _epoch(text: str) -> float:
    try:
        moment = timestamps.parse(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise mismatch("since", "datetime")
    return moment.timestamp()


def _grep(text: str | None) -> Search | None:
    if not text:
        return None
    try:
        return patterns.regex(text)
    except ValueError as error:
        raise bad_request(f"parameter [grep]: {error}") from None


def _trial(arguments: Arguments) -> int | None:
    if arguments.raw("trial") is None:
        return None
    trial = arguments.integer("trial", 0)
    if not 1 <= trial <= MOST_TRIAL:
        text = cut(str(trial), 40)
        raise bad_request(
            f"parameter [trial] must be the number of a trial, from 1 to {MOST_TRIAL}, got "
            f"[{text}]; the job's detail lists its trials"
        )
    return trial


def _tail(arguments: Arguments) -> int | None:
    if arguments.raw("tail") is None:
        return None
    tail = arguments.integer("tail", 0)
    if tail < 0:
        raise bad_request(f"parameter [tail] must be at least 0, got [{tail}]")
    return tail
