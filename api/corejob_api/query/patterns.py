"""Compile clients' regular expressions and wildcards with RE2, which never backtracks.

RE2's cost is linear in the text, and, once its automaton does not fit into memory, in the size of
its program too. Therefore program sizes are limited here, and searches run in threads:
`corejob_api.query.scans`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import re2

Search = Callable[[str], bool]
_MAX_PATTERN: Final = 4096
MAX_PROGRAM: Final = 300
"""Maximum RE2 program size: an e-mail address has 22 steps, `\\d{100}` 101, `.{30}` some 200."""
_OPTIONS: Final = "ims"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern: calling it returns True if a text contains a match.

    Attributes:
        program: RE2 program size, the worst-case cost of a character.
    """

    program: int
    _search: Callable[[str], object]

    def __call__(self, text: str) -> bool:
        """Return True if the text contains a match; releases the GIL during the search."""
        return self._search(text) is not None


def regex(pattern: str, options: str = "", *, most: int | None = MAX_PROGRAM) -> Pattern:
    """Compile a regular expression.

    Args:
        pattern: The regular expression.
        options: Letters out of i, m and s, with MongoDB's meaning.
        most: Maximum program size; None: RE2's own limit, for patterns from the administrator.

    Raises:
        ValueError: RE2 rejects the pattern, or it is too costly; the message says why.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ValueError(f"regex option [{unknown[0]}] is not supported")
    if len(pattern) > _MAX_PATTERN:
        raise ValueError(f"the regex is longer than {_MAX_PATTERN} characters")
    flags = f"(?{''.join(sorted(set(options)))})" if options else ""
    settings = re2.Options()
    settings.log_errors = False
    try:
        compiled = re2.compile(flags + pattern, options=settings)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"the regex is not valid: {text}") from None
    program = int(compiled.programsize)
    if most is not None and program > most:
        raise ValueError(
            f"the regex is too costly: it compiles to {program} steps, {most} are allowed; "
            "use shorter texts, fewer wildcards and classes, and smaller numbers in {}"
        )
    return Pattern(program, compiled.search)


def wildcard(search: str) -> Pattern:
    """Compile a wildcard search: case-insensitive, unanchored; `?` is one character, `*` any run.

    Raises:
        ValueError: The search is too long or too costly.
    """
    if len(search) > _MAX_PATTERN:
        raise ValueError(f"it is longer than {_MAX_PATTERN} characters")
    parts = {"?": ".", "*": ".*"}
    return regex("".join(parts.get(char) or re2.escape(char) for char in search), "is")
