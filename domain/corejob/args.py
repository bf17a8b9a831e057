"""Stores and reads a job's keyword arguments without any change to their values.

The API server stores a number as a 64-bit integer or as a float, and writes a float without a
fraction as an integer: `1.0` comes back as `1`. So args that have such a float are stored twice: as
`spec.args` for people, and as JSON text in `spec.argsJson`, which has precedence.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from corejob.nesting import MAX_OBJECT_DEPTH, is_text_deeper

MOST_INTEGER: Final = 2**63 - 1
LEAST_INTEGER: Final = -(2**63)
_SHOWN: Final = 100
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def fields(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec fields that store the args: `args`, and `argsJson` if needed."""
    if any(isinstance(value, float) and value.is_integer() for value in values(args)):
        text = json.dumps(args, separators=(",", ":"), ensure_ascii=False)
        return {"args": dict(args), "argsJson": text}
    return {"args": dict(args)}


def read(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the args of a spec; ignore an `argsJson` that is not a JSON object."""
    try:
        exact = _exact(spec)
    except ValueError:
        exact = None
    return spec.get("args") or {} if exact is None else exact


def problem(spec: Mapping[str, Any], *, container: bool) -> str | None:
    """Return why the args of a spec can't be passed to a job, for people; None if they can.

    Args:
        spec: The spec.
        container: True if the job is a container, which gets its args as environment variables.
    """
    try:
        exact = _exact(spec)
    except ValueError as error:
        return f"argsJson is not a JSON object: {error}"
    args = spec.get("args") or {} if exact is None else exact
    text = number_problem(args)
    if text is not None and exact is None:
        # Written by kubectl: a float, or an integer that the API server has changed already.
        text += ", in argsJson"
    return text or (nul_problem(args) if container else None)


def number_problem(value: Any) -> str | None:
    """Return which number in a JSON value can't be stored unchanged, and a remedy; else None."""
    if all(map(_is_plain, values(value))):
        return None
    for path, item in walk(value):
        if isinstance(item, float) and not math.isfinite(item):
            return _infinite(path)
        if isinstance(item, int) and not LEAST_INTEGER <= item <= MOST_INTEGER:
            return (
                f"[{path}] is {_cut(item)}: an integer has at most 64 bits "
                f"({LEAST_INTEGER} to {MOST_INTEGER}); send it as text, or as a float (1e30)"
            )
    return None


def infinite_problem(value: Any, name: str) -> str | None:
    """Return which number in a JSON value is not finite; None if all are finite.

    Args:
        value: The value.
        name: First part of the path in the message.
    """
    if all(map(_is_finite, values(value))):
        return None
    for path, item in walk(value, name):
        if isinstance(item, float) and not math.isfinite(item):
            return _infinite(path)
    return None


def nul_problem(value: Any) -> str | None:
    """Return where a JSON value has a NUL, which environment variables can't have; else None."""
    if not any(map(_has_nul, values(value))):
        return None
    for path, item in walk(value):
        if _has_nul(item):
            return (
                f"[{path}] has a NUL character, which can't be given to a container; "
                "leave it out, or encode it, for example as Base64"
            )
    return None


def surrogate_problem(value: Any, name: str) -> str | None:
    r"""Return where a JSON value has half of a surrogate pair, which UTF-8 can't have; else None.

    JSON can have it as an escape (`"\ud83d"`), which many clients write if they cut a text.

    Args:
        value: The value.
        name: First part of the path in the message.
    """
    if not any(map(_has_half_pair, values(value))):
        return None
    for path, item in walk(value, name):
        if _has_half_pair(item):
            return (
                f"[{path}] has half of a surrogate pair, which is not valid Unicode; leave it out"
            )
    return None


def _is_finite(item: Any) -> bool:
    return not isinstance(item, float) or math.isfinite(item)


def _is_plain(item: Any) -> bool:
    return _is_finite(item) and (not isinstance(item, int) or LEAST_INTEGER <= item <= MOST_INTEGER)


def _has_nul(item: Any) -> bool:
    return any("\0" in text for text in _texts(item))


def _has_half_pair(item: Any) -> bool:
    return any(_HALF_PAIR.search(text) is not None for text in _texts(item))


def _texts(item: Any) -> Iterator[str]:
    """Yield the texts of an item itself: it, or its names; not those of its values."""
    texts = item.keys() if isinstance(item, Mapping) else (item,)
    return (text for text in texts if isinstance(text, str))


def values(value: Any) -> Iterator[Any]:
    """Yield a JSON value and all values in it, unordered; much cheaper than `walk`."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def walk(value: Any, path: str = "args") -> Iterator[tuple[str, Any]]:
    """Yield a JSON value and all values in it, in order, each with its path; without recursion."""
    waiting = [(path, value)]
    while waiting:
        here, item = waiting.pop()
        yield here, item
        if isinstance(item, Mapping):
            inside = [(f"{here}{_step(name)}", inner) for name, inner in item.items()]
            waiting += reversed(inside)
        elif isinstance(item, list | tuple):
            inside = [(f"{here}[{number}]", inner) for number, inner in enumerate(item)]
            waiting += reversed(inside)


def _step(name: str) -> str:
    if name.isidentifier():
        return f".{name[:_SHOWN]}"
    return f"[{json.dumps(name[:_SHOWN])}]"


def _infinite(path: str) -> str:
    return (
        f"[{path}] is not a finite number: JSON has no NaN, no Infinity and no number beyond "
        "1.8e308; send it as text"
    )


def _cut(number: int) -> str:
    """Return an integer as text; Python refuses to convert one of thousands of digits."""
    return str(number) if abs(number) < 10**40 else "an integer of more than 40 digits"


def _exact(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    text = spec.get("argsJson")
    if text is None:
        return None
    if is_text_deeper(text.encode("utf-8", "surrogatepass"), MAX_OBJECT_DEPTH):
        raise ValueError(f"nested deeper than {MAX_OBJECT_DEPTH} levels")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}")  # noqa: TRY004  # of bad text
    # Only an escape can be half of a pair. No listing with such a job could be encoded as UTF-8.
    problem = surrogate_problem(value, "args") if "\\u" in text else None
    if problem is not None:
        raise ValueError(problem)
    return value
