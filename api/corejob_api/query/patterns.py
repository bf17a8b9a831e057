"""Regular expressions and wildcards of clients: RE2, so none takes longer than its text."""

from collections.abc import Callable
from typing import Final

import re2

Search = Callable[[str], bool]
_MAX_PATTERN: Final = 4096
_OPTIONS: Final = "ims"


def regex(pattern: str, options: str = "") -> Search:
    """Whether a text contains a match of `pattern`. Options: i, m, s as in MongoDB.

    Raises:
        ValueError: RE2 can't take the pattern; the message says why.
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
        words = error.args[0] if error.args else error
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        raise ValueError(f"the regex can not be used: {text}") from None
    return lambda text: compiled.search(text) is not None


def wildcard(search: str) -> Search:
    """Contract section 2: case-insensitive, unanchored, `?` a character, `*` any run of them."""
    parts = {"?": ".", "*": ".*"}
    return regex("".join(parts.get(char) or re2.escape(char) for char in search), "is")
