"""Parse and convert the arguments of a request (docs/rest.md, "Requests")."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from corejob.args import infinite_problem
from corejob_api.http.errors import ApiError, bad_request

_TRUE: Final = frozenset({"yes", "y", "on", "true", "t", "1"})
_FALSE: Final = frozenset({"no", "n", "off", "false", "f", "0"})
_MAX_DIGITS: Final = 1000
_USUAL_DIGITS: Final = 20
_MAX_FIELDS: Final = 1000
_MAX_ODD_TEXT: Final = 2**16
"""Maximum length of JSON text in an argument for which an error names the place of a bad number."""
_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,100}\s*")


def decode_json(raw: bytes | str) -> Any:
    """Decode JSON.

    Numbers that are not JSON (`NaN`, `Infinity`), or too large for a float, become floats that are
    not finite, so that `Arguments` can name their place in the error.

    Raises:
        ValueError: The text is not JSON, is not UTF-8, or is nested too deep.
    """
    return _decoded(raw)[0]


def _decoded(raw: bytes | str) -> tuple[Any, bool]:
    """Return the value, and True if it may contain non-finite floats (msgspec produces none)."""
    try:
        return msgspec.json.decode(raw), False
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError as error:
        if isinstance(raw, str) and len(raw) > _MAX_ODD_TEXT:
            raise
        return _with_any_number(raw, error), True


def _with_any_number(raw: bytes | str, error: ValueError) -> Any:
    """Decode JSON with numbers that msgspec rejects, as many clients send; else raise `error`."""
    strange: list[str] = []

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            strange.append(text)
        return value

    def integer(text: str) -> int | float:
        # Python refuses to read an integer of thousands of digits.
        if len(text) > _MAX_DIGITS:
            return number(text)
        if len(text) > _USUAL_DIGITS:
            strange.append(text)
        return int(text)

    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value = json.loads(text, parse_float=number, parse_constant=number, parse_int=integer)
        # Raises for a lone surrogate, which can't be encoded as UTF-8.
        msgspec.json.encode(value)
    except (ValueError, RecursionError):
        raise error from None
    if not strange:
        raise error
    return value


def from_query(text: str) -> dict[str, Any]:
    """Return the arguments of a query string or URL-encoded form; the last of a name counts.

    Raises:
        ApiError: 400, there are more than `_MAX_FIELDS` arguments.
    """
    try:
        fields = parse_qsl(
            text, keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise bad_request(f"a request has at most {_MAX_FIELDS} arguments") from None
    return dict(fields)


def from_json(body: bytes) -> dict[str, Any] | None:
    """Return the arguments of a JSON body; None if the body is not a JSON object."""
    try:
        value, odd = _decoded(body)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return OddArguments(value) if odd else value


class OddArguments(dict[str, Any]):
    """Arguments that may contain non-finite numbers.

    Attributes:
        problems: A text that says where such a number is, by the name of the argument.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        # Searched here because the thread that parses a long body also runs this.
        problems = {name: infinite_problem(value, name) for name, value in values.items()}
        self.problems = {name: text for name, text in problems.items() if text is not None}


class Arguments:
    """Arguments by name. A JSON null counts as not given."""

    def __init__(self, *sources: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = {}
        self._problems: dict[str, str] = {}
        for source in sources:
            if isinstance(source, OddArguments):
                self._problems.update(source.problems)
            self._values.update((k, v) for k, v in source.items() if v is not None)

    def take(self, name: str) -> Any:
        """Remove and return an argument; None if it is not given."""
        return self._values.pop(name, None)

    def raw(self, name: str) -> Any:
        """Return an argument without conversion; None if it is not given."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """Return a required text.

        Raises:
            ApiError: 400, the argument is missing or not a text.
        """
        value = self.optional_text(name)
        if value is None:
            raise bad_request(f"Missing argument {name}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text; numbers are converted. None if it is not given."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        raise mismatch(name, "str")

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean, from a JSON boolean or a word of `_TRUE` or `_FALSE`."""
        value = self._values.get(name, default)
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise mismatch(name, "bool")

    def integer(self, name: str, default: int) -> int:
        """Return an integer, from digits or from a JSON number, whose fraction is truncated."""
        value = self._values.get(name, default)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return int(value)
        raise mismatch(name, "int")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object, given as such or as text; empty if it is not given."""
        value = self._structure(name, "dict")
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        raise mismatch(name, "dict")

    def sequence(self, name: str) -> list[Any] | None:
        """Return a JSON list, given as such or as text; None if it is not given."""
        value = self._structure(name, "list")
        if value is None or isinstance(value, list):
            return value
        raise mismatch(name, "list")

    def _structure(self, name: str, kind: str) -> Any:
        value = self._values.get(name)
        problem = self._problems.get(name)
        if isinstance(value, str):
            try:
                value, odd = _decoded(value)
            except ValueError:
                raise mismatch(name, kind) from None
            problem = infinite_problem(value, name) if odd else None
        if problem is not None:
            raise bad_request(f"parameter [{name}]: {problem}")
        return value


def mismatch(name: str, kind: str) -> ApiError:
    """400: an argument can't be converted to its type."""
    return bad_request(f"parameter [{name}] expected as_type [{kind}]")
