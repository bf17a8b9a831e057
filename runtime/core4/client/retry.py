"""When a failed request is sent again, and after which pause. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core4.client.errors import ApiError, Core4Error, UnreachableError

Random = Callable[[], float]
"""Returns a number from 0 to 1."""

_NOT_DONE: Final = frozenset({408, 429, 503})
"""core4 sends these before it acts, or the same request may be sent again (docs/rest.md)."""
_GATEWAY: Final = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how patiently, the client repeats what failed.

    Attributes:
        attempts: How often a request is sent at most.
        first_pause: Upper bound of the first pause in seconds; it doubles each time.
        longest_pause: Upper bound of all of these pauses, in seconds.
        longest_wait: The longest `Retry-After` that is waited for, in seconds; beyond that, the
            error is raised at once.
        stream_budget: Seconds for which a stream that was cut off may bring nothing new, until
            `StreamLostError`.
        violations: How often a stream may break its promises, until `ProtocolError`.
    """

    attempts: int = 3
    first_pause: float = 0.5
    longest_pause: float = 8.0
    longest_wait: float = 60.0
    stream_budget: float = 600.0
    violations: int = 5

    def pause(self, failed: int, error: Core4Error, random: Random) -> float:
        """Return the pause in seconds after `failed` failures in a row.

        It is random, so that many clients don't come back all at once, and never shorter than the
        server's `Retry-After`.
        """
        bound = min(self.longest_pause, self.first_pause * 2.0 ** min(failed - 1, 30))
        wait = error.retry_after if isinstance(error, ApiError) else None
        return bound * random() if wait is None else wait + min(1.0, bound) * random()

    def again(
        self, failed: int, error: Core4Error, *, repeatable: bool, random: Random
    ) -> float | None:
        """Return the pause before the request is sent again; None if it must not be.

        Args:
            failed: How often it has failed.
            error: The last failure.
            repeatable: True if it may be sent again although the first may have had an effect.
            random: Source of randomness.
        """
        if failed >= self.attempts or not _may_repeat(error, repeatable=repeatable):
            return None
        pause = self.pause(failed, error, random)
        return None if pause > self.longest_wait + 1 else pause


def is_transient(error: Core4Error) -> bool:
    """Return True if the same request may succeed later."""
    if isinstance(error, ApiError):
        return error.status in _GATEWAY
    return isinstance(error, UnreachableError)


def _may_repeat(error: Core4Error, *, repeatable: bool) -> bool:
    if not is_transient(error):
        return False
    if repeatable:
        return True
    if isinstance(error, ApiError):
        return error.by_core4 and error.status in _NOT_DONE
    return isinstance(error, UnreachableError) and not error.sent
