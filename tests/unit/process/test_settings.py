"""The settings loader: variables, defaults, parsers, and error messages."""

from dataclasses import dataclass, field

import pytest

from corejob_process.settings import (
    load,
    log_level,
    number,
    setting,
    truncated_number,
    variables,
    whole_number,
)


def missing() -> str:
    raise ValueError("NAME is not set")


@dataclass(frozen=True, slots=True)
class InnerSettings:
    size: int = setting("INNER_SIZE", whole_number, default=3)


@dataclass(frozen=True, slots=True)
class OuterSettings:
    name: str = setting("NAME", default_factory=missing)
    secret: str = setting("SECRET", default="s3", repr=False)
    port: int = setting("PORT", whole_number, default=80)
    origins: tuple[str, ...] = setting(
        "ORIGINS", lambda text: tuple(text.split()), default=("*",), keep_empty=True
    )
    inner: InnerSettings = field(default_factory=InnerSettings)


def test_variables_that_are_not_set_or_empty_leave_the_defaults() -> None:
    expected = OuterSettings("a", "s3", 80, ("*",), InnerSettings(3))
    assert load(OuterSettings, {"NAME": "a"}) == expected
    empty = {"SECRET": "", "PORT": "", "INNER_SIZE": ""}
    assert load(OuterSettings, {"NAME": "a", **empty}) == expected


def test_variables_that_are_set_are_parsed() -> None:
    environ = {"NAME": "a", "SECRET": "x", "PORT": "8080", "ORIGINS": "b c", "INNER_SIZE": "5"}
    settings = load(OuterSettings, environ)
    assert settings == OuterSettings("a", "x", 8080, ("b", "c"), InnerSettings(5))
    assert "'x'" not in repr(settings)


def test_an_empty_text_is_parsed_where_it_means_something() -> None:
    assert load(OuterSettings, {"NAME": "a", "ORIGINS": ""}).origins == ()


def test_a_required_variable_is_named() -> None:
    with pytest.raises(ValueError, match="NAME is not set"):
        load(OuterSettings, {})


@pytest.mark.parametrize("variable", ["PORT", "INNER_SIZE"])
def test_a_bad_value_is_refused_with_its_variable_and_what_is_allowed(variable: str) -> None:
    with pytest.raises(ValueError, match=f"^{variable} must be a whole number, got 'x'$"):
        load(OuterSettings, {"NAME": "a", variable: "x"})


def test_the_variable_of_each_field() -> None:
    fields = {"NAME": "name", "SECRET": "secret", "PORT": "port", "ORIGINS": "origins"}
    assert variables(OuterSettings) == fields


def test_numbers() -> None:
    assert whole_number("007") == 7
    assert number("1.5") == 1.5
    assert truncated_number("1e+06") == 1_000_000
    assert truncated_number("2.7") == 2


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "x", " 1 0"])
def test_a_whole_number_has_digits_only(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        whole_number(text)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1,5", "0x10", "many"])
def test_a_number_is_finite_and_from_0_up(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number from 0 up"):
        number(text)


def test_a_log_level_may_be_written_in_any_case() -> None:
    assert [log_level(text) for text in ("debug", "Warning", "ERROR")] == [
        "DEBUG",
        "WARNING",
        "ERROR",
    ]
    with pytest.raises(ValueError, match="must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"):
        log_level("loud")
