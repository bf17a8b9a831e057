"""The settings come from the environment, and a bad one is named."""

import pytest

from corejob_operator.settings import Settings, from_environment

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
    "CORE4_SWEEP_SECONDS": "sweep",
    "CORE4_PORT": "port",
}


def test_the_namespace_is_enough() -> None:
    assert from_environment(POD) == Settings("jobs", "", "operator-1")


def test_empty_variables_are_not_set() -> None:
    empty = dict.fromkeys([*NUMBERS, "CORE4_JOB_IMAGE_PULL_POLICY", "CORE4_LOG_LEVEL"], "")

    assert from_environment({**POD, **empty}) == Settings("jobs", "", "operator-1")


@pytest.mark.parametrize(("variable", "field"), NUMBERS.items())
def test_each_number_has_its_variable(variable: str, field: str) -> None:
    found = from_environment({"CORE4_NAMESPACE": "jobs", variable: "42"})

    assert getattr(found, field) == 42
    assert type(getattr(found, field)) is type(getattr(Settings("jobs", ""), field))


def test_texts() -> None:
    found = from_environment(
        {
            "CORE4_NAMESPACE": "jobs",
            "CORE4_JOB_IMAGE": "core4:1",
            "CORE4_JOB_IMAGE_PULL_POLICY": "Always",
            "CORE4_LOG_LEVEL": "DEBUG",
        }
    )

    assert (found.job_image, found.job_image_pull_policy) == ("core4:1", "Always")
    assert found.log_level == "DEBUG"


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize("value", ["many", "1,5", "0x10", "nan", "inf", "-1"])
def test_what_is_no_number_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=variable):
        from_environment({"CORE4_NAMESPACE": "jobs", variable: value})
