"""The API's settings from environment variables."""

from datetime import timedelta

import pytest

from corejob_api.settings import ApiSettings
from corejob_process.settings import load

POD = {"CORE4_NAMESPACE": "jobs"}


@pytest.mark.parametrize(("text", "hours"), [("", 168), ("1", 1), ("87600", 87_600)])
def test_the_most_age_of_a_token(text: str, hours: int) -> None:
    settings = load(ApiSettings, {**POD, "CORE4_TOKEN_MAX_AGE_HOURS": text})
    assert settings.token_most_age == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "a week", "87601", "9" * 30, "٣"])
def test_a_bad_most_age_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="CORE4_TOKEN_MAX_AGE_HOURS must be a number from 1 to"):
        load(ApiSettings, {**POD, "CORE4_TOKEN_MAX_AGE_HOURS": text})


def test_the_limit_of_keys() -> None:
    assert load(ApiSettings, POD).key_limit == 20_000
    assert load(ApiSettings, {**POD, "CORE4_IDEMPOTENCY_KEY_LIMIT": "5"}).key_limit == 5
