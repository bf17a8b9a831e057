"""The resumption of streams, against servers and networks that do the worst. No I/O."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client.story import JOB, Story, document

from core4.client import (
    Close,
    Gap,
    Log,
    ProtocolError,
    Retries,
    StreamLostError,
    UnavailableError,
    UnreachableError,
)
from core4.client.credentials import Token
from core4.client.effects import Emit, Open, Read, Run, Sleep
from core4.client.following import follow
from core4.client.requests import Response
from core4.client.session import Session

STREAM = {"content-type": "text/event-stream; charset=utf-8"}


class World:
    """A server and a network without sockets; their time passes by itself.

    Args:
        bodies: What each connection in turn brings, as functions from the `Last-Event-ID`: bytes,
            an error, or a response that is none of a stream.
    """

    def __init__(self, bodies: Any, *, chunk: int = 40, retries: Retries | None = None) -> None:
        self.bodies = bodies
        self.chunk = chunk
        self.time = 0.0
        self.slept: list[float] = []
        self.opened: list[int | None] = []
        self.rest = b""
        self.session = Session(
            Token("t"), retries=retries or Retries(), now=lambda: self.time, random=lambda: 1.0
        )

    def run(self, **options: Any) -> list[Any]:
        """Return the events of a stream."""
        events: list[Any] = []
        self.run_into(events, **options)
        return events

    def run_into(self, events: list[Any], **options: Any) -> None:
        run = Run(follow(self.session, JOB, {}, **options))
        while run.effect is not None:
            if isinstance(run.effect, Emit):
                events.append(run.effect.item)
                run.go_on(None)
                continue
            try:
                result = self.perform(run.effect)
            except UnreachableError as error:
                run.fail(error)
            else:
                run.go_on(result)

    def perform(self, effect: Any) -> Any:
        match effect:
            case Open(request):
                text = request.headers.get("Last-Event-ID")
                after = None if text is None else int(text)
                self.opened.append(after)
                body = next(self.bodies)(after)
                if isinstance(body, Exception):
                    raise body
                if isinstance(body, Response):
                    return body
                self.rest = body
                return Response(200, STREAM)
            case Read():
                piece, self.rest = self.rest[: self.chunk], self.rest[self.chunk :]
                return piece
            case Sleep(seconds):
                self.slept.append(seconds)
                self.time += seconds
        return None


def cut_off(text: str = "hung up") -> UnreachableError:
    return UnreachableError(text, sent=True)


STEPS = st.one_of(
    st.sampled_from(["pending", "running", "failed"]).map(lambda state: ("state", document(state))),
    st.text(max_size=5).map(lambda message: ("log", message)),
    st.one_of(st.none(), st.integers(1, 3)).map(lambda first: ("gap", first)),
)
FAULTS = st.sampled_from(["cut", "drop", "double", "swap", "flip", "away"])


def distinct(steps: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Leave out gaps that core4 would not send: a numbered one twice at the same place."""
    found: list[tuple[str, Any]] = []
    here: set[Any] = set()
    for kind, data in steps:
        if kind == "log":
            here.clear()
        if kind == "gap" and data is not None and data in here:
            continue
        if kind == "gap":
            here.add(data)
        found.append((kind, data))
    return [*found, ("state", document("complete"))]


def damaged(frames: list[bytes], fault: str, place: int) -> Any:
    """Return the bytes of a connection with one fault."""
    at = place % max(1, len(frames) - 1)
    if fault == "away":
        return cut_off()
    if fault == "drop":
        return b"".join(frames[:at] + frames[at + 1 :])
    if fault == "double":
        return b"".join(frames[: at + 1] + frames[at:])
    if fault == "swap":
        return b"".join(frames[:at] + frames[at : at + 2][::-1] + frames[at + 2 :])
    body = b"".join(frames)
    where = place % len(body)
    if fault == "flip":
        return body[:where] + b"\xff" + body[where + 1 :]
    return body[:where]


@given(
    st.lists(STEPS, max_size=8),
    st.lists(st.tuples(FAULTS, st.integers(0, 3000)), max_size=4),
    st.integers(1, 200),
)
def test_the_story_is_told_whole_or_an_error_is_raised(steps, faults, chunk):
    story = Story(distinct(steps))

    def bodies():
        # The first connection opens in any case: what fails then is told at once.
        for fault, place in faults:
            yield (
                lambda after, fault=fault, place=place: (
                    damaged(story.frames(after), fault, place)
                    if fault != "away" or len(world.opened) > 1
                    else b""
                )
            )
        while True:
            yield lambda after: b"".join(story.frames(after))

    world = World(bodies(), chunk=chunk)
    events: list[Any] = []
    told = [data if kind == "log" else None for kind, data in story.steps if kind != "state"]
    try:
        world.run_into(events)
    except ProtocolError:
        # Only gaps and whole tails can be lost without a trace until the frame close.
        got = [event.message for event in events if isinstance(event, Log)]
        assert got == [data for kind, data in story.steps if kind == "log"][: len(got)]
        assert not any(isinstance(event, Close) for event in events)
        return
    if any(fault in {"swap", "drop", "double", "flip"} for fault, _ in faults):
        # A damaged gap may be told twice or not at all, if another one hides that.
        messages = [event.message for event in events if isinstance(event, Log)]
        assert messages == [data for kind, data in story.steps if kind == "log"]
        assert isinstance(events[-1], Close)
    else:
        story.check(events)
    assert len([event for event in events if isinstance(event, Log | Gap)]) <= len(told) + len(
        faults
    )


def connections(*bodies: Any) -> Any:
    yield from (lambda after, body=body: body for body in bodies)
    while True:
        yield lambda after: b""


def test_pauses_grow_until_something_new_comes():
    story = Story([("log", str(number)) for number in range(3)] + [("state", document("complete"))])

    def bodies():
        yield lambda after: b"".join(story.frames(after)[:2])
        for _ in range(4):
            yield lambda after: cut_off()
        yield lambda after: b"".join(story.frames(after)[:2])
        yield lambda after: cut_off()
        while True:
            yield lambda after: b"".join(story.frames(after))

    world = World(bodies())
    story.check(world.run())
    assert world.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 0.5, 1.0]


def test_the_budget_is_for_time_without_news():
    world = World(connections(b"".join(Story().frames(None)[:4])))
    with pytest.raises(StreamLostError, match="nothing new for") as caught:
        world.run()
    assert 560 < world.time <= 600
    assert caught.value.last_event_id == "000000000002"


def test_the_servers_own_time_is_heeded():
    busy = Response(503, {"retry-after": "17"}, b'{"error": "away"}')
    whole = b"".join(Story().frames(None))
    world = World(connections(whole[:100], busy, whole))
    Story().check(world.run())
    assert world.slept == [0.5, 17.0 + 1.0]


def test_a_server_that_is_away_at_first_is_an_error_after_few_attempts():
    world = World(connections(*[cut_off()] * 10))
    with pytest.raises(UnreachableError):
        world.run()
    assert len(world.opened) == 3
    away = Response(503, {"retry-after": "1"}, b'{"error": "away"}')
    with pytest.raises(UnavailableError):
        World(connections(*[away] * 10)).run()


def test_a_server_that_has_answered_before_is_waited_for():
    whole = b"".join(Story().frames(None))
    world = World(connections(*[cut_off()] * 10, whole))
    world.session.has_answered = True
    Story().check(world.run())
    assert len(world.opened) == 11
    assert world.slept[-1] == 8.0


def test_an_id_beyond_the_end_means_the_end():
    story = Story([("log", "one"), ("log", "two"), ("state", document("complete"))])
    frames = story.frames(2)
    first = frames[0].replace(b"id: 000000000002", b"id: 000000000099")
    world = World(connections(first + frames[-1]))
    assert [type(event).__name__ for event in world.run(after=99)] == ["State", "Close"]
    assert world.opened == [99]
