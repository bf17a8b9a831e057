"""Cleaning of external texts, so that objects, databases and JSON parsers accept them."""

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOST_MESSAGE: Final = 2_000


def clean(text: str) -> str:
    """Return the text with escapes for lone surrogates (invalid in UTF-8) and NUL (PostgreSQL)."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    if not text.isascii():
        text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def cut(text: str, most: int) -> str:
    """Return the text, cut to `most` characters plus the number of the missing ones."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most} more characters)"


def clean_message(text: str) -> str:
    """Return a message of Kubernetes or a container, cleaned and cut to 2,000 characters."""
    return cut(clean(text), _MOST_MESSAGE)
