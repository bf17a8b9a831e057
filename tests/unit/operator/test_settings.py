"""The settings come from environment variables; an error names the variable."""

import socket

import pytest

from corejob_operator.settings import OperatorSettings
from corejob_process.settings import load

POD = {"CORE4_NAMESPACE": "jobs", "CORE4_POD_NAME": "operator-1"}
NUMBERS = {
    "CORE4_MAX_PARALLEL": "max_parallel",
    "CORE4_NAMESPACE_LIMIT": "namespace_limit",
    "CORE4_KILL_GRACE_SECONDS": "kill_grace",
    "CORE4_ATTACH_WAIT_SECONDS": "attach_wait",
    "CORE4_START_DEADLINE_SECONDS": "start_deadline",
    "CORE4_LOG_DEADLINE_SECONDS": "log_deadline",
    "CORE4_JOURNAL_DEADLINE_SECONDS": "journal_deadline",
    "CORE4_TTL_SECONDS": "ttl",
    "CORE4_SWEEP_SECONDS": "resync_interval",
    "CORE4_PORT": "port",
}


def test_the_namespace_is_enough() -> None:
    assert load(OperatorSettings, POD) == OperatorSettings("jobs", "", "operator-1")


def test_empty_variables_are_not_set() -> None:
    empty = dict.fromkeys([*NUMBERS, "CORE4_JOB_IMAGE_PULL_POLICY", "CORE4_LOG_LEVEL"], "")

    assert load(OperatorSettings, {**POD, **empty}) == OperatorSettings("jobs", "", "operator-1")


@pytest.mark.parametrize(("variable", "field"), NUMBERS.items())
def test_each_number_has_its_variable(variable: str, field: str) -> None:
    settings = load(OperatorSettings, {"CORE4_NAMESPACE": "jobs", variable: "42"})

    assert getattr(settings, field) == 42
    assert type(getattr(settings, field)) is type(getattr(OperatorSettings("jobs", ""), field))


def test_texts() -> None:
    settings = load(
        OperatorSettings,
        {
            "CORE4_NAMESPACE": "jobs",
            "CORE4_JOB_IMAGE": "core4:1",
            "CORE4_JOB_IMAGE_PULL_POLICY": "Always",
            "CORE4_LOG_LEVEL": "DEBUG",
        },
    )

    assert (settings.job_image, settings.job_image_pull_policy) == ("core4:1", "Always")
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("value", ["many", "1,5", "0x10", "nan", "inf", "-1"])
def test_a_bad_number_is_refused_with_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=variable):
        load(OperatorSettings, {"CORE4_NAMESPACE": "jobs", variable: value})


def test_a_pod_s_name_is_whole_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "core4-operator-" + "x" * 60
    monkeypatch.setattr(socket, "gethostname", lambda: long[:63])

    assert load(OperatorSettings, {**POD, "CORE4_POD_NAME": long}).pod_name == long
    assert load(OperatorSettings, {"CORE4_NAMESPACE": "jobs"}).pod_name == long[:63]


def test_a_log_level_is_checked() -> None:
    assert load(OperatorSettings, {**POD, "CORE4_LOG_LEVEL": "debug"}).log_level == "DEBUG"
    with pytest.raises(ValueError, match="CORE4_LOG_LEVEL must be one of DEBUG, "):
        load(OperatorSettings, {**POD, "CORE4_LOG_LEVEL": "loud"})
