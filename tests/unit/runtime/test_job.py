"""The interface of a job: progress, cookie, sources, its own description."""

import logging
from datetime import datetime

import pytest

from core4.queue.context import JobContext, Reports
from core4.queue.job import CoreJob


class Example(CoreJob):
    author = "test"
    progress_interval = 7


class Recorder(Reports):
    """Records reports."""

    def __init__(self):
        self.seen = []

    def progress(self, value, message):
        self.seen.append((round(value, 4), message))

    def source(self, name):
        self.seen.append(name)

    def cookie(self, key, value):
        self.seen.append((key, value))


@pytest.fixture
def reports():
    return Recorder()


@pytest.fixture
def clock(monkeypatch):
    """Monotonic time that a test moves."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def make(reports, **document):
    return Example.create(JobContext({"id": "1", "qualName": "x.Y", **document}, reports))


def test_progress_is_thinned_out(reports, clock):
    job = make(reports, progressIntervalSeconds=5)
    for step in range(100):
        job.progress(step / 100, "step %d", step)
        clock[0] += 0.5
    assert reports.seen == [(step / 100, f"step {step}") for step in range(0, 100, 10)]
    job.flush_progress()
    job.flush_progress()
    assert reports.seen[-1] == (0.99, "step 99")
    assert len(reports.seen) == 11


def test_first_forced_and_complete_progress_are_written(reports, clock):
    job = make(reports)
    job.progress(0.1, "first")
    job.progress(0.2, "held")
    job.progress(0.3, "forced", force=True)
    job.progress(0.4, "held")
    job.progress(1.0, "complete")
    job.progress(1.0, "held")
    assert [text for _, text in reports.seen] == ["first", "forced", "complete"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(-1, 0), (2, 1), (float("inf"), 1), (float("-inf"), 0), (float("nan"), 0), (True, 1), (0, 0)],
)
def test_progress_is_between_0_and_1(reports, value, written):
    make(reports).progress(value)
    assert reports.seen == [(written, "")]


def test_progress_that_is_not_a_number_is_the_last_value(reports):
    job = make(reports)
    job.progress(0.5)
    job.progress(float("nan"), "still", force=True)
    assert reports.seen == [(0.5, ""), (0.5, "still")]


@pytest.mark.parametrize("value", ["0.5", b"1", None, [1]])
def test_progress_of_no_number(reports, value):
    with pytest.raises(TypeError):
        make(reports).progress(value)


def test_progress_messages(reports):
    job = make(reports)
    job.progress(0, None, force=True)
    job.progress(0, "%d", "no number", force=True)
    job.progress(0, "100%", force=True)
    job.progress(0, "x" * 10_000, force=True)
    texts = [text for _, text in reports.seen]
    assert texts == ["", "%d ('no number',)", "100%", "x" * 4096]


def test_progress_in_a_pod(runner):
    result = runner.run_body("self.progress(0.256, 'at %s', 'work'); self.progress(0.5)")
    assert [(p["value"], p["message"]) for p in result.of("progress")] == [
        (0.256, "at work"),
        (0.5, ""),
    ]
    assert result.messages == ["progress [26%] - at work", "progress [50%] - "]
    assert {line["level"] for line in result.of("log")[1:-1]} == {"DEBUG"}


def test_interval_of_the_run_beats_the_class(reports):
    assert make(reports).progress_interval == 7
    assert make(reports, progressIntervalSeconds=2).progress_interval == 2


def test_cookie(reports):
    job = make(reports, cookie={"page": 3, "old": [1]})
    cookie = job.cookie
    assert cookie is job.cookie
    assert (cookie["page"], cookie.get("none"), cookie.get("none", 5)) == (3, None, 5)
    cookie.set("page", 4)
    cookie.set(last="x", count=1)
    assert cookie.inc("count", 2) == 3
    assert cookie.inc("new") == 1
    cookie.delete("old")
    cookie.delete("old")
    cookie["a"] = {"b": None}
    del cookie["a"]
    cookie.set("last", None)
    assert sorted(cookie) == ["count", "new", "page"]
    assert "page" in cookie
    assert len(cookie) == 3
    assert reports.seen == [
        ("page", 4),
        ("last", "x"),
        ("count", 1),
        ("count", 3),
        ("new", 1),
        ("old", None),
        ("a", {"b": None}),
        ("a", None),
        ("last", None),
    ]


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, b"x", "x" * 70_000])
def test_cookie_takes_json_only(reports, value):
    cookie = make(reports).cookie
    with pytest.raises((TypeError, ValueError)):
        cookie.set("key", value)
    assert "key" not in cookie
    assert reports.seen == []


def test_cookie_keeps_what_was_set(reports):
    job = make(reports)
    value = [1]
    job.cookie.set("list", value)
    value.append(2)
    assert job.cookie["list"] == [1]
    with pytest.raises(KeyError):
        del job.cookie["none"]


def test_cookie_and_sources_in_a_pod(runner):
    body = """
    self.cookie.inc("runs")
    self.cookie.delete("gone")
    self.set_source("/data/in/file.csv")
    self.set_source("/other/file.csv")
    self.set_source("known.csv")
    self.logger.info("%s", self.sources)
    """
    result = runner.run_body(body, cookie={"runs": 41, "gone": 1}, sources=["known.csv"])
    assert [(c["key"], c["value"]) for c in result.of("cookie")] == [("runs", 42), ("gone", None)]
    assert [s["name"] for s in result.of("source")] == ["file.csv"]
    assert result.messages == ["['known.csv', 'file.csv']"]


def test_description(reports):
    job = make(
        reports,
        trial=2,
        attempts=3,
        attemptsLeft=2,
        args={"x": 1},
        enqueued={"at": "2026-11-24T03:00:00", "username": "admin"},
    )
    assert (job.identifier, job._id, job.trial) == ("1", "1", 2)
    assert (job.attempts, job.attempts_left, job.args) == (3, 2, {"x": 1})
    assert job.enqueued == {"at": datetime(2026, 11, 24, 3), "username": "admin"}  # noqa: DTZ001
    assert job.qual_name() == Example.qual_name() == f"{__name__}.Example"


def test_outside_a_run(caplog):
    class Own(CoreJob):
        author = "test"

        def execute(self, text):
            self.logger.info("got %s", text)
            self.progress(0.5, "half")
            self.cookie.inc("runs")
            return text

    job = Own()
    with caplog.at_level(logging.DEBUG):
        assert job.execute(text="x") == "x"
    assert caplog.messages == ["got x", "progress [50%] - half"]
    assert (job.identifier, job.trial, job.enqueued) == (None, 1, {})


def test_no_execute(runner):
    runner.write("class Job(CoreJob): author = 'test'")
    result = runner.run()
    assert result.code == 1
    assert "NotImplementedError" in result.done["lastError"]["exception"]
