"""Settings of a process, declared once: a dataclass whose fields name environment variables.

    @dataclass(frozen=True, slots=True)
    class ExampleSettings:
        host: str = setting("CORE4_HOST", default="::")
        port: int = setting("CORE4_PORT", whole_number, default=5000)

    settings = load(ExampleSettings, os.environ)

A variable that is not set, or is empty, leaves the field at its default. A parser gets the
variable's text, and refuses it with a ValueError that says what is allowed; `load` adds the name of
the variable and the text. If X is such a dataclass, a field `field(default_factory=X)` is loaded in
the same way.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast, overload

T = TypeVar("T")

_VARIABLE: Final = "variable"
_PARSE: Final = "parse"
_KEEP_EMPTY: Final = "keep_empty"
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@overload
def setting(
    variable: str,
    *,
    default: str,
    repr: bool = True,  # as in dataclasses.field
) -> str: ...
@overload
def setting(variable: str, *, default_factory: Callable[[], str]) -> str: ...
@overload
def setting(
    variable: str, parse: Callable[[str], T], *, default: T, keep_empty: bool = False
) -> T: ...
@overload
def setting(
    variable: str,
    parse: Callable[[str], T],
    *,
    default_factory: Callable[[], T],
    repr: bool = True,
) -> T: ...
def setting(
    variable: str,
    parse: Callable[[str], Any] = str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    repr: bool = True,  # noqa: A002
    keep_empty: bool = False,
) -> Any:
    """Return a field of a settings dataclass.

    Args:
        variable: The environment variable.
        parse: Returns the value of the variable's text.
        default: The value if the variable is not set.
        default_factory: Returns that value; raises a ValueError if it has no value to offer.
        repr: False for a secret, which is left out of the dataclass's repr.
        keep_empty: True if an empty text is parsed too; False: it counts as not set.
    """
    metadata = {_VARIABLE: variable, _PARSE: parse, _KEEP_EMPTY: keep_empty}
    options = {"default": default, "default_factory": default_factory}
    return dataclasses.field(**options, repr=repr, metadata=metadata)


def load(settings_class: type[T], environ: Mapping[str, str]) -> T:
    """Read settings from environment variables.

    Raises:
        ValueError: A variable is missing or invalid; the message names it.
        OSError: A file that a variable names can't be read.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):  # type: ignore[arg-type]  # a dataclass
        if dataclasses.is_dataclass(field.default_factory):
            values[field.name] = load(cast("type[Any]", field.default_factory), environ)
            continue
        variable = field.metadata[_VARIABLE]
        text = environ.get(variable)
        if text or (text is not None and field.metadata[_KEEP_EMPTY]):
            values[field.name] = _parsed(variable, field.metadata[_PARSE], text)
    return settings_class(**values)


def variables(settings_class: type[Any]) -> dict[str, str]:
    """Return the name of the field of each environment variable."""
    fields = dataclasses.fields(settings_class)
    return {
        field.metadata[_VARIABLE]: field.name for field in fields if _VARIABLE in field.metadata
    }


def whole_number(text: str) -> int:
    """Parse a whole number from 0 up.

    Raises:
        ValueError: The text is not such a number.
    """
    if not text.isdecimal():
        raise ValueError("must be a whole number")
    return int(text)


def number(text: str) -> float:
    """Parse a number from 0 up, which may have a fraction.

    Raises:
        ValueError: The text is not such a number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("must be a number from 0 up")
    return value


def truncated_number(text: str) -> int:
    """Parse a number from 0 up and drop its fraction; Helm may write 1000000 as 1e+06.

    Raises:
        ValueError: The text is not such a number.
    """
    return int(number(text))


def log_level(text: str) -> str:
    """Parse the name of a log level, in any case.

    Raises:
        ValueError: There is no such level.
    """
    level = text.upper()
    if level not in _LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(_LOG_LEVELS)}")
    return level


def _parsed(variable: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{variable} {error}, got {text!r}") from None
