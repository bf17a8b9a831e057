"""The rules of class properties and schedules."""

import pytest
from tests.support.crontabs import BAD, GOOD, NEVER

from core4.catalogue import manifest
from core4.queue import crontab, properties
from core4.queue.job import CoreJob
from corejob.properties import TABLE


@pytest.mark.parametrize("expression", GOOD)
def test_good_schedules(expression):
    crontab.check(expression)


@pytest.mark.parametrize("expression", BAD)
def test_bad_schedules(expression):
    with pytest.raises(ValueError, match=r"."):
        crontab.check(expression)


@pytest.mark.parametrize("expression", NEVER)
def test_days_that_never_come(expression):
    with pytest.raises(ValueError, match="no month"):
        crontab.check(expression)


def job_class(**attributes):
    return type("Job", (CoreJob,), {"author": "test", **attributes})


def test_defaults_and_names_are_those_of_the_service():
    for (name, field, _), known in zip(properties.TABLE, TABLE, strict=True):
        assert (name, field) == (known.rest, known.field)
        assert getattr(CoreJob, name) == known.default


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (name, [1, 86_400], [0, -1, None, "1", 1.5, True, 2**31])
        for name in ("attempts", "error_time", "defer_time", "defer_max", "zombie_time",
                     "progress_interval")
    ]
    + [(name, [1, None], [0, "1", True]) for name in ("wall_time", "max_parallel")]
    + [
        ("priority", [0, -5, 7], [None, "1", 1.5, True]),
        ("force", [True, False], [None, 0, "yes"]),
        ("worker", ["node-1", None], ["", 1, "x" * 64, "a b", "ä", "-a", "a.", "a\n"]),
        ("tag", [None, "one", ["one", "two"], ("one",), []], [1, [1], [None], {"a": 1}]),
        ("schedule", [None, "@daily", " 0  0 * * * "], [1, "", "nonsense"]),
        ("time_zone", [None, "UTC", "America/Argentina/Salta", "Etc/GMT+5"],
         ["", 1, "Local", "/etc/localtime", "../UTC", "+01:00"]),
        ("schedule_policy", ["Skip", "Replace"], [None, "", "skip", 1, ["Skip"]]),
        ("author", ["me"], [None, "", 1]),
    ],
)  # fmt: skip
def test_each_property_takes_only_values_that_match_its_rule(name, good, bad):
    for value in good:
        assert properties.problems(job_class(**{name: value})) == []
    for value in bad:
        (problem,) = properties.problems(job_class(**{name: value}))
        assert f"[{name}] is {value!r}" in problem


def test_author_and_schedule_are_not_inherited():
    parent = job_class(schedule="@daily", priority=3, tag="x")
    child = type("Child", (parent,), {"author": "test"})
    assert properties.schedule(parent) == "@daily"
    assert properties.schedule(child) is None
    assert properties.changed(child) == {"priority": 3}
    assert properties.tags(child) == ["x"]
    orphan = type("Orphan", (parent,), {})
    assert "author" in properties.problems(orphan)[0]


def test_the_schedules_zone_and_policy_go_into_the_template():
    chosen = job_class(schedule="@daily", time_zone="Europe/Berlin", schedule_policy="Replace")
    spec = manifest.template(chosen)["spec"]
    assert (spec["timeZone"], spec["schedulePolicy"]) == ("Europe/Berlin", "Replace")
    assert "timeZone" not in manifest.template(job_class(schedule="@daily"))["spec"]
    # A class without a schedule of its own inherits none of these.
    child = type("Child", (chosen,), {"author": "test"})
    assert not {"schedule", "timeZone", "schedulePolicy"} & manifest.template(child)["spec"].keys()
