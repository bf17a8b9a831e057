"""Parse and convert the arguments of a request (docs/rest.md, "Requests")."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from corejob.args import LEAST_INTEGER, MOST_INTEGER, infinite_problem, surrogate_problem
from corejob.nesting import MAX_VALUE_DEPTH, cut_text
from corejob_api.http.errors import ApiError, bad_request

_TRUE: Final = frozenset({"yes", "y", "on", "true", "t", "1"})
_FALSE: Final = frozenset({"no", "n", "off", "false", "f", "0"})
_MAX_DIGITS: Final = 1000
_USUAL_DIGITS: Final = 20
MAX_FIELDS: Final = 1000
"""Maximum number of arguments of a query string, or of a form."""
_MAX_ODD_TEXT: Final = 2**16
"""Maximum length of JSON text in an argument for which an error names the place of a bad value."""
_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,100}\s*")


class TooDeepError(ValueError):
    """JSON is nested so deep that a parser gives up, far below what any argument may have."""


def decode_json(raw: bytes | str) -> Any:
    """Decode JSON.

    Numbers that are not JSON (`NaN`, `Infinity`), or too large for a float, become floats that are
    not finite.

    Raises:
        ValueError: The text is not JSON, is not Unicode, or is nested too deep.
    """
    value, odd = _decoded(raw)
    problem = surrogate_problem(value, "…") if odd else None
    if problem is not None:
        raise ValueError(problem)
    return value


def _decoded(raw: bytes | str) -> tuple[Any, bool]:
    """Return the value, and True if it may contain what `_problem` finds (msgspec produces none).

    Raises:
        TooDeepError: The text is nested too deep to be parsed.
        ValueError: The text is not JSON, or not UTF-8.
    """
    try:
        return msgspec.json.decode(raw), False
    except RecursionError:
        raise TooDeepError("it is nested too deep") from None
    except ValueError as error:
        if isinstance(raw, str) and len(raw) > _MAX_ODD_TEXT:
            raise
        return _leniently(raw, error), True


def _leniently(raw: bytes | str, error: ValueError) -> Any:
    """Decode JSON with numbers and halves of surrogate pairs that msgspec rejects.

    Many clients send these; they are kept, so that `Arguments` can name their place.

    Raises:
        TooDeepError: The text is nested too deep to be parsed.
        ValueError: `error`, if the text is not JSON for other reasons.
    """
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
    except RecursionError:
        raise TooDeepError("it is nested too deep") from None
    except ValueError:
        raise error from None
    if not strange and surrogate_problem(value, "…") is None:
        raise error
    return value


def _problem(value: Any, name: str) -> str | None:
    """Return what in a lenient value can't be used, and a remedy; None if there is nothing."""
    return infinite_problem(value, name) or surrogate_problem(value, name)


def from_query(text: str) -> dict[str, Any]:
    """Return the arguments of a query string or URL-encoded form; the last of a name counts.

    Raises:
        ApiError: 400, there are more than `MAX_FIELDS` arguments.
    """
    try:
        fields = parse_qsl(
            text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise too_many_fields() from None
    return dict(fields)


def too_many_fields() -> ApiError:
    """400: a query string or a form has more than `MAX_FIELDS` arguments."""
    return bad_request(f"a request has at most {MAX_FIELDS} arguments")


def from_json(body: bytes) -> dict[str, Any] | None:
    """Return the arguments of a JSON body; None if the body is not a JSON object.

    Raises:
        ApiError: 400, the body is an object, but nested too deep to be parsed.
    """
    try:
        value, odd = _decoded(body)
    except TooDeepError:
        if not _is_object_apart_from_depth(body):
            return None
        raise bad_request(
            f"the body is nested too deep: args and filters have at most {MAX_VALUE_DEPTH} levels"
        ) from None
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return OddArguments(value) if odd else value


def _is_object_apart_from_depth(body: bytes) -> bool:
    """True if a body is a JSON object once what is nested deep in it is cut out."""
    try:
        value, _ = _decoded(cut_text(body, MAX_VALUE_DEPTH, b"0"))
    except ValueError:
        return False
    return isinstance(value, dict)


class OddArguments(dict[str, Any]):
    """Arguments that may contain numbers that are not finite, and text that is not Unicode.

    Attributes:
        problems: A text that says where such a value is, by the name of the argument.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        # Searched here because the thread that parses a long body also runs this.
        problems = {name: _problem(value, name) for name, value in values.items()}
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
        """Remove and return an argument, which may be any JSON; None if it is not given."""
        return self._values.pop(name, None)

    def raw(self, name: str) -> Any:
        """Return an argument without conversion; None if it is not given.

        Raises:
            ApiError: 400, the argument has a number that is not finite, or is not Unicode.
        """
        value = self._values.get(name)
        if value is not None:
            _check(name, self._problems.get(name))
        return value

    def text(self, name: str) -> str:
        """Return a required text.

        Raises:
            ApiError: 400, the argument is missing or not a text.
        """
        value = self.optional_text(name)
        if value is None:
            raise bad_request(f"Missing argument {name}")
        return value

    def optional_text(self, name: str, kind: str = "str") -> str | None:
        """Return a text; numbers are converted. None if it is not given.

        Args:
            name: Name of the argument.
            kind: The type that the error for any other value names.
        """
        value = self.raw(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        raise mismatch(name, kind)

    def flag(self, name: str, *, default: bool) -> bool:
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
        """Return an integer of at most 64 bits.

        It is given by digits, or by a JSON number, whose fraction is truncated.

        Raises:
            ApiError: 400, the argument is not such an integer.
        """
        number = self._integer(name, default)
        if not LEAST_INTEGER <= number <= MOST_INTEGER:
            raise bad_request(
                f"parameter [{name}] must be an integer of at most 64 bits "
                f"({LEAST_INTEGER} to {MOST_INTEGER})"
            )
        return number

    def _integer(self, name: str, default: int) -> int:
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
            except TooDeepError:
                raise bad_request(
                    f"parameter [{name}] is nested deeper than {MAX_VALUE_DEPTH} levels"
                ) from None
            except ValueError:
                raise mismatch(name, kind) from None
            problem = _problem(value, name) if odd else None
        _check(name, problem)
        return value


def _check(name: str, problem: str | None) -> None:
    if problem is not None:
        raise bad_request(f"parameter [{name}]: {problem}")


def mismatch(name: str, kind: str) -> ApiError:
    """400: an argument can't be converted to its type."""
    return bad_request(f"parameter [{name}] expected as_type [{kind}]")
