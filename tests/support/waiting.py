"""Waiting for a condition until a deadline, and telling what was seen when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_TICK = 0.1
_LONGEST = 2000


def until(
    probe: Callable[[], T],
    accept: Callable[[T], bool] = bool,
    *,
    what: str,
    seconds: float = 60,
    every: float = _TICK,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """Ask again and again until the answer is accepted; returns it.

    The last question is asked after the deadline, so that a machine that stood still in between
    does not count as an answer.

    Args:
        probe: asks.
        accept: whether that is what is waited for.
        what: what is waited for, as the beginning of a sentence.
        seconds: how long, at most.
        every: time between two questions; longer if it takes longer to ask, for what is waited
            for may need the same processors.
        ignoring: errors of `probe` that may pass by themselves.

    Raises:
        AssertionError: it did not come; the message shows what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        try:
            seen = probe()
            if accept(seen):
                return seen
            shown = repr(seen)
        except ignoring as error:
            shown = f"{type(error).__name__}: {error}"
        if asked > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; seen last: {short(shown)}")
        time.sleep(max(every, time.monotonic() - asked))


def let_pass(seconds: float) -> None:
    """Let time pass: that nothing happens in it is the point, not a wait for something."""
    time.sleep(seconds)


def short(text: str) -> str:
    """A text for a message: its middle left out if it is long."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} … {text[-half:]}"
