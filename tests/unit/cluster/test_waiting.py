"""Waiting for a condition, as the tests on the cluster do it."""

import time
from types import SimpleNamespace

import pytest
from tests.support import waiting
from tests.support.waiting import until


def test_the_last_look_is_after_the_deadline(monkeypatch):
    looks, now = 0, 0.0

    def look() -> int:
        nonlocal looks, now
        looks += 1
        # The machine stalls, and the condition comes true meanwhile.
        now = 2.0
        return looks

    clock = SimpleNamespace(monotonic=lambda: now, sleep=lambda _: None)
    monkeypatch.setattr(waiting, "time", clock)
    assert until(look, lambda seen: seen > 1, what="it comes", seconds=1) == 2


def test_a_missed_condition_is_reported_with_the_last_value():
    with pytest.raises(AssertionError, match=r"the door is open: not within 0.01 s.*'closed'"):
        until(lambda: "closed", lambda seen: seen == "open", what="the door is open", seconds=0.01)


def test_a_slow_probe_runs_less_often():
    began, looks = time.monotonic(), 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        time.sleep(0.05)
        return time.monotonic() - began > 0.5

    until(look, what="the time is over", every=0)
    # At most half of the time is spent in the probe.
    assert looks <= 7
