"""Failed sign-ins: counted each, and written to the log at a limited rate."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from corejob.texts import cut
from corejob_api.fairness import Limit
from corejob_api.metrics import Metrics

log = logging.getLogger(__name__)

_WINDOW_S: Final = 10.0
_MOST_LINES: Final = 10
"""Within a window; what is left out is told at its end."""
_MOST_COUNTED: Final = 1000
_LONGEST: Final = 100


class Reason(StrEnum):
    """Why nobody was signed in."""

    PASSWORD = "wrong username or password"  # noqa: S105  # no password
    TOKEN = "bad token"  # noqa: S105  # likewise
    EXPIRED = "expired token"
    HEADER = "malformed Authorization"


class FailedSignIns:
    """Notes failed sign-ins, each with its user and its address, and never a password or a token.

    Args:
        metrics: Where they are counted.
        monotonic: Seconds.
    """

    def __init__(
        self, metrics: Metrics, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._window_ends = float("-inf")
        self._lines = 0
        self._left_out: Counter[str] = Counter()

    def failed(self, reason: Reason, host: str, user: str | None = None) -> None:
        """Somebody is not who they say they are."""
        self._metrics.failed_sign_ins.labels(reason.name.lower()).inc()
        # A program that sends a token until it ends has done nothing wrong.
        level = logging.INFO if reason is Reason.EXPIRED else logging.WARNING
        self._say(level, f"{_who(host, user)}: {reason}")

    def refused(self, limit: Limit, host: str, user: str) -> None:
        """A password was not checked, since too many wait."""
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
        """Write how many lines were left out, if any were, and the most frequent of them."""
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
    """A text of somebody unknown in one line, without signs that nobody sees."""
    shown = cut(text, _LONGEST)
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in shown)
