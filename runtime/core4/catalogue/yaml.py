"""Write plain JSON values as readable block YAML."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_KEYWORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# Characters that YAML does not allow unescaped, or treats as line breaks.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def document(value: dict[str, Any]) -> str:
    """Return one YAML document with its leading `---` line."""
    return "\n".join(["---", *_mapping(value, "")]) + "\n"


def _mapping(value: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, item in value.items():
        plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _KEYWORDS
        lines += _entry(f"{indent}{key if plain else _quoted(key)}:", item, indent)
    return lines


def _entry(start: str, item: Any, indent: str) -> list[str]:
    if isinstance(item, dict) and item:
        return [start, *_mapping(item, indent + "  ")]
    if isinstance(item, list) and item:
        return [start, *_sequence(item, indent)]
    if isinstance(item, str) and _fits_block(item):
        return [f"{start} |-", *(f"{indent}  {line}".rstrip() for line in item.split("\n"))]
    return [f"{start} {_scalar(item)}"]


def _sequence(value: list[Any], indent: str) -> list[str]:
    lines = []
    for item in value:
        if isinstance(item, dict) and item:
            first, *rest = _mapping(item, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        elif isinstance(item, list) and item:
            lines += [f"{indent}-", *_sequence(item, indent + "  ")]
        else:
            lines.append(f"{indent}- {_scalar(item)}")
    return lines


def _scalar(item: Any) -> str:
    return _quoted(item) if isinstance(item, str) else json.dumps(item, allow_nan=False)


def _quoted(text: str) -> str:
    """Return a text in double quotes, with JSON's escapes, which YAML shares except surrogates."""
    return _ESCAPED.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(text, ensure_ascii=False))


def _fits_block(text: str) -> bool:
    """True if a block scalar preserves a text of several lines exactly."""
    return (
        "\n" in text
        and text == text.strip()
        and not re.search(r"[ \t]\n|[\x00-\x09\x0b-\x1f]", text)
        and not _ESCAPED.search(text)
    )
