"""Texts that others wrote, made fit for objects, databases and JSON readers."""

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOST_WORDS: Final = 2_000


def clean(text: str) -> str:
    """The text with escapes for what UTF-8 (lone surrogates) or PostgreSQL (NUL) can't hold."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    if not text.isascii():
        text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def cut(text: str, most: int) -> str:
    """At most `most` characters of the text, and then how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most} more characters)"


def words(text: str) -> str:
    """Return the words of Kubernetes or a container, clean and at most 2,000 characters long."""
    return cut(clean(text), _MOST_WORDS)
