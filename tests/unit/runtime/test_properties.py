"""The rules of class properties and schedules."""

import pytest
from croniter import croniter

from core4.queue import crontab, properties
from core4.queue.job import CoreJob
from corejob.properties import TABLE

GOOD_SCHEDULES = [
    "* * * * *", "0 0 * * *", "*/5 * * * *", "0-30/10 8-18 * * mon-fri", "5,10,15 1 1 jan,DEC *",
    "0 0 29 2 *", "0 0 * * 7", "0 0 * * sat-sun", "0 0 31 * *", "30 5/2 * * *",
    "0 0 30 2 mon", "* * * * * 30", "* * * * * */15", "@daily", "@hourly", "@weekly",
    "@monthly", "@yearly", "@annually", "@midnight",
]  # fmt: skip
BAD_SCHEDULES = [
    "", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *",
    "* * * 0 *", "* * * 13 *", "* * * * 8", "* * * * * 60", "a * * * *", "*/0 * * * *",
    "*/ * * * *", "5- * * * *", "-5 * * * *", "1,,2 * * * *", "30-10 * * * *", "mon * * * *",
    "@never", "@Daily", "1.5 * * * *", "٣ * * * *", "* * * * fri-mon",
]  # fmt: skip


@pytest.mark.parametrize("expression", GOOD_SCHEDULES)
def test_good_schedules(expression):
    crontab.check(expression)
    # The operator computes the times with this.
    assert croniter.is_valid(expression)


@pytest.mark.parametrize("expression", BAD_SCHEDULES)
def test_bad_schedules(expression):
    with pytest.raises(ValueError, match=r"."):
        crontab.check(expression)


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 31 feb *"])
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
        ("worker", ["node-1", None], ["", 1, "x" * 64]),
        ("tag", [None, "one", ["one", "two"], ("one",), []], [1, [1], [None], {"a": 1}]),
        ("schedule", [None, "@daily", " 0  0 * * * "], [1, "", "nonsense"]),
        ("author", ["me"], [None, "", 1]),
    ],
)  # fmt: skip
def test_rules(name, good, bad):
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
