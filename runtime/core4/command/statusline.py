"""One changing line at the bottom of a terminal, below what is printed."""

from __future__ import annotations

import sys
import time
from typing import Final

from core4.command import terminal

_CLEAR: Final = "\r\x1b[K"
_PAUSE_S: Final = 0.1
"""Least time between two changes of the line."""


class StatusLine:
    """The line on stderr; without a terminal there is none.

    Printing must go through `above`, so that line and text don't mix.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = ""
        self._changed = 0.0

    @property
    def is_live(self) -> bool:
        """True if there is a terminal that shows the line."""
        return self._live

    def show(self, text: str) -> None:
        """Show a text, cut to the width of the terminal."""
        now = time.monotonic()
        if not self._live or text == self._shown or now - self._changed < _PAUSE_S:
            return
        self._shown, self._changed = text, now
        self._draw()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = ""
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def out(self, text: str) -> None:
        """Write a line to stdout, above the status line."""
        self._above(text, error=False)

    def err(self, text: str) -> None:
        """Write a line to stderr, above the status line."""
        self._above(text, error=True)

    def _above(self, text: str, *, error: bool) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
        stream = sys.stderr if error else sys.stdout
        stream.write(f"{text}\n")
        stream.flush()
        if self._shown:
            self._draw()

    def _draw(self) -> None:
        # A character may be two cells wide; a line that is too long would be wrapped and stay.
        from rich.cells import cell_len, set_cell_size  # noqa: PLC0415

        room = terminal.width(sys.stderr) - 1
        text = self._shown
        if cell_len(text) > room:
            text = set_cell_size(text, max(0, room - 1)).rstrip() + "…"
        sys.stderr.write(_CLEAR + text)
        sys.stderr.flush()
