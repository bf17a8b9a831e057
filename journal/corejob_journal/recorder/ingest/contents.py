"""The contents of a log's lines, within the limits of docs/journal.md. No I/O."""

import logging
from collections.abc import Iterable
from typing import Final

from corejob.nesting import MAX_VALUE_DEPTH, is_deep
from corejob.texts import clean
from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.store.records import NewGap, NewOutput, NewRecord

log = logging.getLogger(__name__)

_END: Final = "done execution with ["
_LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999, the latest time that can be written as a date."""
_LONGEST_KEY: Final = 1_000
"""Maximum length of a cookie's key, in bytes; PostgreSQL's indexes accept at most 2,704."""
_LARGEST_VALUE: Final = 64 * 2**10
LONGEST_SOURCE: Final = 1_000
_LONGEST_PROGRESS: Final = 1_000
_WARNING: Final = 30
_FULL_LINES: Final = 5_000
_FULL_BYTES: Final = 2**20


class LogContents:
    """The contents of the lines taken since the last append, and what the runtime has reported.

    Args:
        done: True if the runtime's `done` line was taken before.
        ended: True if a closing record was taken before.
        restarts: True if the kubelet may restart the container, so that lines of another run may
            follow the runtime's `done` line.

    Attributes:
        done: True if the runtime's `done` line was taken, after which no line can come.
        ended: True if the container's present run needs no closing record: it has one, or the
            runtime's `done` line.
        epoch: Time of the latest record, in seconds since the epoch.
        progress: The latest progress that was not passed on yet.
        dirty: True if there is something to append.
    """

    def __init__(self, *, done: bool, ended: bool, restarts: bool) -> None:
        self.done = done and not restarts
        self.ended = ended or done
        self.epoch = 0.0
        self.progress: protocol.ProgressEvent | None = None
        self._restarts = restarts
        self._progress_cut = False
        self.clear()

    def clear(self) -> None:
        """Begin the next append."""
        self.records: list[NewRecord] = []
        self.outputs: list[NewOutput] = []
        self.cookies: list[tuple[str, object]] = []
        self.sources: list[str] = []
        self.gaps: list[NewGap] = []
        self.lines = 0
        self.bytes = 0
        self.dirty = False

    @property
    def full(self) -> bool:
        """True if the follower should wait for the store before it reads on."""
        return self.bytes >= _FULL_BYTES or self.lines >= _FULL_LINES

    def take(self, event: protocol.Event, n: int | None, line: LogLine) -> None:
        """Take a complete line.

        Args:
            event: The line, parsed.
            n: Its number; None without one.
            line: The line.
        """
        if event.n == 1 and self.ended:
            self.new_run()
        try:
            self._take(event, n, line)
        except Exception:
            # The follower would read the same line again, and fail again, for ever.
            log.exception("a line can't be taken as an event, it is kept as text")
            text = protocol.text_of(line.body)
            self.add_line(NewRecord(n, line.stamp / 1e9, _WARNING, text), line)

    def new_run(self) -> None:
        """Begin another run of the container, which needs a closing record of its own."""
        self.ended = False

    def add_line(self, record: NewRecord, line: LogLine) -> None:
        """Add a record that a line, or a piece of one, is stored as."""
        self.records.append(record)
        self.epoch = max(self.epoch, record.epoch)
        self._count(line)

    def add(self, record: NewRecord) -> None:
        """Add a record of the recorder, such as the closing one."""
        self.records.append(record)
        self.lines += 1
        self.dirty = True

    def name_sources(self, names: Iterable[str]) -> None:
        """Add sources that were named by an earlier recorder."""
        self.sources += names
        self.dirty = self.dirty or bool(self.sources)

    def _take(self, event: protocol.Event, n: int | None, line: LogLine) -> None:
        at = line.stamp / 1e9
        if isinstance(event, protocol.PlainLine):
            plain = NewRecord(n, at, event.levelno, event.message, event.exception)
            self.add_line(plain, line)
            return
        if 0.0 < event.time < _LATEST:
            at = event.time
        match event:
            case protocol.LogEvent():
                self.add_line(protocol.record(event, n, at), line)
                self.ended = self.ended or event.message.startswith(_END)
            case protocol.OutputEvent():
                text = clean(event.text)
                before = len(self.records)
                self.outputs.append(NewOutput(n, at, clean(event.stream), text, before))
                self._count(line)
            case protocol.ProgressEvent():
                event.time = at
                self._progress(event, line)
            case protocol.SourceEvent():
                self._source(event, line)
            case protocol.CookieEvent():
                self._cookie(event, line)
            case protocol.DoneEvent():
                self.ended, self.done = True, not self._restarts
                if event.state == "complete":
                    self.progress = protocol.ProgressEvent(
                        core4=1, n=event.n, time=at, value=1.0, message=""
                    )

    def _cookie(self, event: protocol.CookieEvent, line: LogLine) -> None:
        key, why = clean(event.key), None
        if len(key.encode()) > _LONGEST_KEY:
            why = f"its key is longer than {_LONGEST_KEY} bytes"
        elif is_deep(event.value):
            why = f"it is nested deeper than {MAX_VALUE_DEPTH} levels"
        elif len(line.body) > _LARGEST_VALUE and protocol.size(event.value) > _LARGEST_VALUE:
            why = f"its value is larger than {_LARGEST_VALUE} bytes"
        if why is None:
            self.cookies.append((key, event.value))
            self._count(line)
        else:
            self._warn(f"cookie [{_short(key)}] is not kept: {why}", line)

    def _source(self, event: protocol.SourceEvent, line: LogLine) -> None:
        name = clean(event.name)
        if len(name) > LONGEST_SOURCE:
            name = f"{name[:LONGEST_SOURCE]}…"
            text = f"source [{_short(name)}] is cut to {LONGEST_SOURCE} characters"
            self._warn(text, line)
        self.sources.append(name)
        self._count(line)

    def _progress(self, event: protocol.ProgressEvent, line: LogLine) -> None:
        message = event.message
        if message is not None and len(message) > _LONGEST_PROGRESS:
            event.message = f"{message[:_LONGEST_PROGRESS]}…"
            if not self._progress_cut:
                self._progress_cut = True  # warn once, since progress may come each second
                text = f"the message of the progress is cut to {_LONGEST_PROGRESS} characters"
                self._warn(text, line)
        self.progress = event

    def _warn(self, text: str, line: LogLine) -> None:
        self.add_line(NewRecord(None, line.stamp / 1e9, _WARNING, text), line)

    def _count(self, line: LogLine) -> None:
        self.lines += 1
        self.bytes += len(line.body)
        self.dirty = True


def _short(text: str) -> str:
    return text if len(text) <= 50 else f"{text[:50]}…"
