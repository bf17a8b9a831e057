"""The abilities of the terminal: colours, width; and text that must not control it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from typing import IO, Final

from core4.command.connection import Connection

_PIPE_WIDTH: Final = 100_000
"""Columns are never cut in a pipe."""
_ESCAPE: Final = re.compile(
    r"\x1b\[(?P<sgr>[0-9;:]*)m"  # colours and styles
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def has_colour(
    connection: Connection, stream: IO[str], environ: Mapping[str, str] = os.environ
) -> bool:
    """Return True if a stream gets colours (no-color.org, bixense.com/clicolors)."""
    if connection.color != "auto":
        return connection.color == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return stream.isatty() and environ.get("TERM") != "dumb" and environ.get("CLICOLOR") != "0"


def width(stream: IO[str]) -> int:
    """Return the number of columns of a stream; in a pipe, as many as it takes."""
    return shutil.get_terminal_size().columns if stream.isatty() else _PIPE_WIDTH


def clean(text: str, *, colour: bool = False) -> str:
    """Return a text of a job without what could control the terminal; colours stay if wanted.

    Line ends and tabs stay.
    """

    def keep(match: re.Match[str]) -> str:
        return match[0] if colour and match["sgr"] is not None else ""

    parts: list[str] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        parts += (_CONTROL.sub("", text[position : match.start()]), keep(match))
        position = match.end()
    parts.append(_CONTROL.sub("", text[position:]))
    cleaned = "".join(parts)
    return f"{cleaned}\x1b[0m" if "\x1b" in cleaned else cleaned


def one_line(text: str) -> str:
    """Return a text of the server as a cell of a table."""
    return " ".join(clean(text).split())


def is_interactive() -> bool:
    """Return True if a question can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
