"""Failed sign-ins: each is counted; logging is rate-limited."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from corejob.texts import cut
from corejob_api.auth.fairness import Limit
from corejob_api.metrics import ApiMetrics

log = logging.getLogger(__name__)

_WINDOW_S: Final = 10.0
_MOST_LINES: Final = 10
"""Maximum number of lines per window; the omitted ones are summarised at its end."""
_MOST_COUNTED: Final = 1000
_LONGEST: Final = 100


class FailureReason(StrEnum):
    """Reason of a failed sign-in."""

    PASSWORD = "wrong username or password"  # noqa: S105  # no password
    TOKEN = "bad token"  # noqa: S105  # likewise
    EXPIRED = "expired token"
    HEADER = "malformed Authorization"


class FailedSignIns:
    """Records failed sign-ins with user and address, never with a password or a token.

    Args:
        metrics: Metrics with the counters.
        monotonic: Monotonic clock, in seconds.
    """

    def __init__(
        self, metrics: ApiMetrics, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._window_ends = float("-inf")
        self._lines = 0
        self._left_out: Counter[str] = Counter()

    def failed(self, reason: FailureReason, host: str, user: str | None = None) -> None:
        """Count and log a failed sign-in."""
        self._metrics.failed_sign_ins.labels(reason.name.lower()).inc()
        # An expired token is not suspicious: programs use a token until it expires.
        level = logging.INFO if reason is FailureReason.EXPIRED else logging.WARNING
        self._say(level, f"{_who(host, user)}: {reason}")

    def refused(self, limit: Limit, host: str, user: str) -> None:
        """Record a password that was not checked because too many checks are queued."""
        self._metrics.refused_sign_ins.labels(limit.name.lower()).inc()
        self._say(logging.WARNING, f"{_who(host, user)}: too many at once, limit by {limit}")

    def _say(self, level: int, text: str) -> None:
        now = self._monotonic()
        if now >= self._window_ends:
            self.tell_left_out()
            self._window_ends, self._lines = now + _WINDOW_S, 0
        if self._lines < _MOST_LINES:
            self._lines += 1
            log.log(level, "failed sign-in %s", text)
            return
        if not self._left_out:
            asyncio.get_running_loop().call_later(self._window_ends - now, self.tell_left_out)
        known = text in self._left_out or len(self._left_out) < _MOST_COUNTED
        self._left_out[text if known else ""] += 1

    def tell_left_out(self) -> None:
        """Log the number of omitted lines, if any, and the most frequent of them."""
        if not self._left_out:
            return
        left_out, self._left_out = self._left_out, Counter()
        (text, count), *_ = left_out.most_common(1)
        log.warning(
            "%d more failed sign-ins within %.0f s; %d of them %s",
            left_out.total(),
            _WINDOW_S,
            count,
            text or "of others",
        )


def _who(host: str, user: str | None) -> str:
    whose = "" if user is None else f"of user [{_clean(user)}] "
    return f"{whose}from [{_clean(host)}]"


def _clean(text: str) -> str:
    """Return an untrusted text, cut, with non-printable characters and line ends escaped."""
    shown = cut(text, _LONGEST)
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in shown)
