"""How deep JSON text is nested, told without parsing it.

Parsers recurse, and so does whoever goes through what they return: beyond some hundred levels they
fail, in the middle of whatever they were about. So depth is measured first, at the edge.
"""

import re
from collections.abc import Iterator
from typing import Final

MAX_DEPTH: Final = 100
"""Levels of an object of Kubernetes that are read. The REST API takes args of at most 64."""

_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_REST: Final = bytes(set(range(256)) - set(b'{}[]"'))
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def is_deeper(text: bytes, limit: int) -> bool:
    """Whether valid JSON has more than `limit` levels of objects and lists; cheap.

    All but braces is taken out; what is left loses its innermost pairs, again and again. So all the
    work is done by a few calls, whatever the text.
    """
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side end a string and begin one: what is within strings stays so.
    text = text.translate(_BRACES, _REST).replace(b'""', b"")
    if b'"' in text:
        text = b"".join(text.split(b'"')[::2])
    for _ in range(limit):
        if not text:
            return False
        text = text.replace(b"{}", b"")
    return bool(text)


def cut(text: bytes, limit: int, instead: bytes) -> bytes:
    """Valid JSON with each object and list below `limit` levels replaced by other JSON."""
    return b"".join(_kept(text, limit, instead))


def _kept(text: bytes, limit: int, instead: bytes) -> Iterator[bytes]:
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
                    yield instead
                    begin = token.end()
    if depth <= limit:  # else it ends in the middle of what is left out: it is no JSON
        yield text[begin:]
