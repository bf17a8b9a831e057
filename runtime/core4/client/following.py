"""Follow a job: one stream without loss over any number of connections.

`Position` checks each frame of each connection against what the server promises (docs/rest.md,
"Event streams"): records are dense and in order, none comes twice, and `close` counts what came. A
frame that breaks a promise is never handed on. It counts as a cut, and the stream is resumed before
it. Only if `close` counts other records or gaps than those that came is it too late for that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from core4.client import requests
from core4.client.effects import Emit, Program, read, sleep
from core4.client.errors import (
    Core4Error,
    DeadlineError,
    ProtocolError,
    StreamLostError,
    UnreachableError,
)
from core4.client.requests import Request
from core4.client.results import Close, Event, Gap, JobDocument, Lagged, Log, State
from core4.client.retry import is_transient
from core4.client.session import Session, call
from core4.client.sse import Message, SseError, SseParser

_KNOWN: Final = ("state", "log", "output", "gap", "lagged")
_LASTING: Final = frozenset({"log", "output", "gap"})
"""Types of frames that must not be missing."""
_CHOOSING: Final = ("level", "grep", "since", "trial")
"""Filters that may leave out records anywhere in the log."""
_VOLATILE: Final = frozenset({"age", "runtime"})
"""Fields whose change alone makes no new state."""
_ALIVE_S: Final = 10.0
"""A connection that still brings bytes after this many seconds works, though nothing may be new."""


class ViolationError(Core4Error):
    """A frame broke a promise of the protocol."""


class LossError(ViolationError):
    """Frames are missing, and nobody knows where, so the stream can't be resumed before them."""


class Position:
    """Position of a reader in a job's stream, over all connections.

    Args:
        job_id: The job.
        dense: True if no filter leaves records out.
        after: Number of the record after which the stream begins; None if `tail` decides it.
    """

    def __init__(self, job_id: str, *, dense: bool, after: int | None) -> None:
        self._job_id = job_id
        self._dense = dense
        self._number = after
        # Number of the last printed line; None if none is wanted, or its place is unknown.
        self._printed: int | None = None
        # An `after` beyond the end means the end, so the first frames may have a lower number.
        self._settled = after == 0
        self._state: Mapping[str, Any] | None = None
        self._gaps: list[Gap] = []
        self._gaps_again = 0
        self._came: Counter[str] = Counter()
        self._yielded: Counter[str] = Counter()
        self.connected_after: str | None = None
        self.closed = False

    @property
    def last_event_id(self) -> str | None:
        """The id after which to resume; None if no record or id came yet."""
        if self._number is None:
            return None
        printed = "" if self._printed is None else f".{self._printed}"
        return f"{self._number:012d}{printed}"

    def connected(self) -> None:
        """Begin a connection, which brings the current state and the gaps at this place again."""
        self.connected_after = self.last_event_id
        self._came.clear()
        self._gaps_again = 0

    def comment(self, event_id: str | None) -> None:
        """Accept a keep-alive, whose id tells how far the server has looked for records."""
        if event_id is not None:
            self._move(*_place(event_id))

    def accept(self, message: Message) -> Event | None:
        """Return the event that a frame brings; None if it brings nothing new.

        Raises:
            ViolationError: The frame breaks a promise.
        """
        kind = message.event
        try:
            data = json.loads(message.data)
            if not isinstance(data, dict):
                raise ViolationError(f"a frame {kind} has no JSON object as data")
            event = self._event(kind, data, message.id)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ViolationError(f"a frame {kind} can't be read: {error!r}") from None
        if event is not None:
            self._yielded[kind] += 1
        return event

    def _event(self, kind: str, data: Mapping[str, Any], event_id: str | None) -> Event | None:
        if kind == "close":
            return self._close(data, event_id)
        self._came[kind] += 1
        if kind == "log":
            return self._log(data, event_id)
        if kind == "output":
            return self._output(data)
        if kind == "gap":
            return self._gap(data)
        if event_id is not None:
            self._move(*_place(event_id))
        if kind == "state":
            return self._new_state(data)
        # A type of a later version is none of this client's business.
        return Lagged.of(data) if kind == "lagged" else None

    def _log(self, data: Mapping[str, Any], event_id: str | None) -> Log:
        record = Log.of(data)
        place = _place(event_id) if event_id is not None else (record.number, None)
        if place[0] != record.number:
            raise ViolationError(f"record {record.number} has the id {event_id}")
        if record.identifier not in {None, self._job_id}:
            raise ViolationError(f"a record is of job {record.identifier}")
        last, number = self._number, record.number
        if last is not None and number <= last:
            raise ViolationError(f"record {number} comes after record {last}")
        if last is not None and self._dense and number != last + 1:
            raise ViolationError(f"record {number} comes after record {last}: some are missing")
        self._advance(number)
        self._check_printed(place[1])
        self._settled = True
        return record

    def _output(self, data: Mapping[str, Any]) -> Log:
        """Return a printed line; its number ascends, and its record is the last one."""
        line = Log.of(data)
        number, printed = _place(line.id)
        if line.identifier not in {None, self._job_id}:
            raise ViolationError(f"a printed line is of job {line.identifier}")
        last = self._printed
        if printed is None or (last is not None and printed <= last):
            raise ViolationError(f"printed line {line.id} comes after {self.last_event_id}")
        if last is not None and self._dense and printed != last + 1:
            raise ViolationError(f"printed line {line.id} comes after {self.last_event_id}")
        self._move(number)
        self._printed = printed
        self._settled = True
        return line

    def _check_printed(self, printed: int | None) -> None:
        """Note how far the server is with printed lines: none may be missing before a frame."""
        last = self._printed
        if last is not None and printed is not None and self._dense and printed != last:
            raise ViolationError(f"printed lines after number {last} are missing")
        self._printed = last if printed is None else printed

    def _gap(self, data: Mapping[str, Any]) -> Gap | None:
        gap = Gap.of(data)
        self._move(gap.after)
        self._gaps_again += 1
        if self._gaps_again <= len(self._gaps):
            if gap != self._gaps[self._gaps_again - 1]:
                raise ViolationError(f"another gap comes again after record {gap.after}")
            return None
        # Several lines may be lost at one place for one reason, if it is unknown which they are.
        if gap.first is not None and gap in self._gaps:
            raise ViolationError(f"a gap comes twice after record {gap.after}")
        self._gaps.append(gap)
        return gap

    def _new_state(self, data: Mapping[str, Any]) -> State | None:
        if data["_id"] != self._job_id:
            raise ViolationError(f"a state is of job {data['_id']}")
        stable = {name: value for name, value in data.items() if name not in _VOLATILE}
        if stable == self._state:
            return None
        self._state = stable
        return State(JobDocument.of(data))

    def _close(self, data: Mapping[str, Any], event_id: str | None) -> Close:
        if event_id is not None:
            self._move(*_place(event_id))
        for kind in {*_KNOWN, *data}:
            if data.get(kind, 0) != self._came[kind]:
                text = (
                    f"{self._came[kind]} frames {kind} came, of {data.get(kind, 0)} that were sent"
                )
                raise LossError(text) if kind in _LASTING else ViolationError(text)
        self.closed = True
        return Close(data, dict(self._yielded))

    def _move(self, number: int, printed: int | None = None) -> None:
        """Note that the server is at this record, which is not necessarily one that passes."""
        last = self._number
        self._check_printed(printed)
        if last == number:
            return
        if last is not None and (self._settled if number < last else self._dense):
            raise ViolationError(f"a frame has the id {number} after record {last}")
        self._advance(number)

    def _advance(self, number: int) -> None:
        self._number = number
        self._gaps.clear()
        self._gaps_again = 0


def follow(
    session: Session,
    job_id: str,
    filters: Mapping[str, Any],
    *,
    states: bool = True,
    after: int | None = None,
    deadline: float = inf,
) -> Program[None]:
    """Emit the events of a job's stream until `Close`.

    Args:
        session: The client's session.
        job_id: The job.
        filters: Filters of the log: `level`, `grep`, `since`, `trial`, `tail`, `output`.
        states: False to follow the log only.
        after: Number of a record after which to begin.
        deadline: Time at which to give up, of the session's clock.

    Raises:
        StreamLostError: The stream was cut off and can't be resumed within its budget.
        ProtocolError: The stream broke its promises too often.
        DeadlineError: The deadline has passed.
        ApiError: The server refuses the stream.
    """
    chooses = any(filters.get(name) is not None for name in _CHOOSING)
    start = after if after is not None or filters.get("tail") is not None else 0
    position = Position(job_id, dense=not chooses, after=start)
    plain = requests.follow(job_id, filters, states=states)
    outage = _Outage(session, position, deadline)
    has_begun = after is not None
    while True:
        # A server that has never answered may be the wrong one: tell the caller soon.
        is_known = session.has_answered
        try:
            request = _resumed(plain, position, has_begun=has_begun)
            yield from call(session, request, deadline=deadline, stream=True, once=is_known)
            has_begun = is_known = True
            yield from _read(session, position, outage, deadline)
        except Core4Error as error:
            may_resume = isinstance(error, ViolationError) or is_transient(error)
            if not (is_known and may_resume):
                raise
            pause = outage.cut(error)
        else:
            return
        yield from sleep(pause)


def _resumed(request: Request, position: Position, *, has_begun: bool) -> Request:
    last = position.last_event_id
    return request.with_headers(Last_Event_ID=last) if has_begun and last is not None else request


def _read(session: Session, position: Position, outage: _Outage, deadline: float) -> Program[None]:
    """Read one connection until the stream's end.

    Raises:
        UnreachableError: It was cut off.
        ViolationError: A frame broke a promise.
    """
    parser = SseParser()
    position.connected()
    opened = session.now()
    while True:
        chunk = yield from read(session.left(deadline, session.timeouts.stream))
        if not chunk:
            raise UnreachableError("the stream ended without its frame close", sent=True)
        if session.now() - opened >= _ALIVE_S:
            outage.over()
        try:
            items = parser.feed(chunk)
        except SseError as error:
            raise ViolationError(str(error)) from None
        for item in items:
            if not isinstance(item, Message):
                position.comment(item.id)
                continue
            event = position.accept(item)
            if event is not None:
                outage.over()
                yield Emit(event)
            if position.closed:
                return


class _Outage:
    """The time since a stream was cut off, in which it has brought nothing new."""

    def __init__(self, session: Session, position: Position, deadline: float) -> None:
        self._session = session
        self._position = position
        self._deadline = deadline
        self._since: float | None = None
        self._cuts = 0
        self._violations = 0

    def over(self) -> None:
        """Note that the stream works."""
        self._since, self._cuts = None, 0

    def cut(self, error: Core4Error) -> float:
        """Note that the stream was cut off. Return the pause in seconds before it is resumed.

        Raises:
            Core4Error: It is not to be resumed any more.
        """
        retries, now = self._session.retries, self._session.now()
        if isinstance(error, LossError):
            raise ProtocolError(str(error), self._position.connected_after) from error
        last = self._position.last_event_id
        if isinstance(error, ViolationError):
            self._violations += 1
            if self._violations >= retries.violations:
                text = f"the stream broke its promises {self._violations} times, at last: {error}"
                raise ProtocolError(text, last) from error
        self._cuts += 1
        if self._since is None:
            self._since = now
        pause = retries.pause(self._cuts, error, self._session.random)
        if now + pause >= self._deadline:
            raise DeadlineError(f"the time for this call is over: {error}") from error
        if now + pause - self._since > retries.stream_budget:
            seconds = round(now - self._since)
            text = f"the stream was cut off, and brought nothing new for {seconds} s: {error}"
            raise StreamLostError(text, last) from error
        return pause


def _place(event_id: str) -> tuple[int, int | None]:
    """Return the record of an id, and the printed line; None if it names none."""
    number, dot, printed = event_id.partition(".")
    for part in (number, printed) if dot else (number,):
        if not (part.isascii() and part.isdecimal()):
            raise ViolationError(f"a frame has the id {event_id!r}")
    return int(number), int(printed) if dot else None
