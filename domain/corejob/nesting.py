"""Nesting depth of JSON, of text before it is parsed and of values.

Parsers recurse, and so does code that walks through their results: beyond some hundred levels both
fail in the middle of their work. So the depth of input is measured before it is parsed, and values
that are too deep for other components are refused.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

MAX_OBJECT_DEPTH: Final = 100
"""Maximum levels of a Kubernetes object."""
MAX_VALUE_DEPTH: Final = 64
"""Maximum levels of a value within an object, such as args, that all components can read."""

_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_REST: Final = bytes(set(range(256)) - set(b'{}[]"'))
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def is_deep(value: Any) -> bool:
    """True if a value is nested deeper than `MAX_VALUE_DEPTH` levels; works without recursion."""
    level = [value]
    for _ in range(MAX_VALUE_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def is_text_deeper(text: bytes, limit: int) -> bool:
    """True if valid JSON has more than `limit` levels of objects and lists.

    Remove all but the braces, then repeatedly remove the innermost pairs: a few fast calls, for any
    text.
    """
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two adjacent quotes end a string and begin the next one, or enclose an empty string: without
    # both, what is inside a string stays inside one.
    text = text.translate(_BRACES, _REST).replace(b'""', b"")
    if b'"' in text:
        text = b"".join(text.split(b'"')[::2])
    for _ in range(limit):
        if not text:
            return False
        text = text.replace(b"{}", b"")
    return bool(text)


def cut_text(text: bytes, limit: int, replacement: bytes) -> bytes:
    """Return valid JSON with each object and list below `limit` levels replaced."""
    return b"".join(_parts(text, limit, replacement))


def _parts(text: bytes, limit: int, replacement: bytes) -> Iterator[bytes]:
    depth = begin = 0
    for token in _TOKEN.finditer(text):
        match token.group():
            case b"{" | b"[":
                depth += 1
                if depth == limit + 1:
                    yield text[begin : token.start()]
            case b"}" | b"]":
                depth -= 1
                if depth == limit:
                    yield replacement
                    begin = token.end()
    if depth <= limit:  # else the text ends inside a part that was cut out: it is not valid JSON
        yield text[begin:]
