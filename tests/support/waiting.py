"""Wait for a condition until a deadline, and show the last value if it is not met."""

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
    """Call `probe` until its result is accepted, and return the result.

    The last call is made after the deadline, so that a machine that stalled meanwhile does not fail
    the test.

    Args:
        probe: returns the value to check.
        accept: returns True if the value is the expected one.
        what: the condition, as the beginning of a sentence.
        seconds: maximum time to wait.
        every: seconds between two calls; longer if a call takes longer, since the awaited event may
            need the same processors.
        ignoring: transient errors of `probe`.

    Raises:
        AssertionError: the condition was not met; the message shows the last value.
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
    """Sleep in a test that proves that nothing happens meanwhile; not for waiting."""
    time.sleep(seconds)


def short(text: str) -> str:
    """Return a text for a message, with its middle left out if it is long."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} … {text[-half:]}"
