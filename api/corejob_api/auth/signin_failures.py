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
        self._omitted: Counter[str] = Counter()

    def failed(self, reason: FailureReason, host: str, user: str | None = None) -> None:
        """Count and log a failed sign-in."""
        self._metrics.failed_sign_ins.labels(reason.name.lower()).inc()
        # An expired token is not suspicious: programs use a token until it expires.
        level = logging.INFO if reason is FailureReason.EXPIRED else logging.WARNING
        self._log_limited(level, f"{_sender_text(host, user)}: {reason}")

    def refused(self, limit: Limit, host: str, user: str) -> None:
        """Record a password that was not checked because too many checks are queued."""
        self._metrics.refused_sign_ins.labels(limit.name.lower()).inc()
        self._log_limited(
            logging.WARNING, f"{_sender_text(host, user)}: too many at once, limit by {limit}"
        )

    def _log_limited(self, level: int, text: str) -> None:
        now = self._monotonic()
        if now >= self._window_ends:
            self.log_omitted()
            self._window_ends, self._lines = now + _WINDOW_S, 0
        if self._lines < _MOST_LINES:
            self._lines += 1
            log.log(level, "failed sign-in %s", text)
            return
        if not self._omitted:
            asyncio.get_running_loop().call_later(self._window_ends - now, self.log_omitted)
        is_counted = text in self._omitted or len(self._omitted) < _MOST_COUNTED
        self._omitted[text if is_counted else ""] += 1

    def log_omitted(self) -> None:
        """Log the number of omitted lines, if any, and the most frequent of them."""
        if not self._omitted:
            return
        omitted, self._omitted = self._omitted, Counter()
        (text, count), *_ = omitted.most_common(1)
        log.warning(
            "%d more failed sign-ins within %.0f s; %d of them %s",
            omitted.total(),
            _WINDOW_S,
            count,
            text or "of others",
        )


def _sender_text(host: str, user: str | None) -> str:
    user_text = "" if user is None else f"of user [{_clean(user)}] "
    return f"{user_text}from [{_clean(host)}]"


def _clean(text: str) -> str:
    """Return an untrusted text, cut, with non-printable characters and line ends escaped."""
    shown = cut(text, _LONGEST)
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in shown)
