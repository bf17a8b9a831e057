"""The demo: its exit code and its messages, without a cluster."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.demo import cli


class FakeStream(list):
    """A stream that has ended with a job in this state."""

    def __init__(self, state):
        super().__init__()
        self._state = state

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def of(self, event):
        return [{"_id": "1", "state": self._state}] if event == "state" else [{}]


@pytest.fixture
def ended(monkeypatch):
    """Let the job end in a state."""

    def end(state):
        stream: Any = FakeStream(state)
        monkeypatch.setattr(cli, "_enqueue", lambda *_: stream)
        monkeypatch.setattr(cli, "_afterwards", lambda *_: None)
        monkeypatch.setattr(cli, "choose", SimpleNamespace)

    return end


def test_a_complete_job_is_a_success(ended, capsys):
    ended("complete")
    assert cli.main([]) == 0
    assert "try next" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["error", "killed", "inactive"])
def test_a_job_that_does_not_complete_fails_the_demo(ended, capsys, state):
    ended(state)
    assert cli.main([]) == 1
    assert f"error: the job has ended as {state}" in capsys.readouterr().err


def test_an_unexpected_answer_is_a_message_and_no_traceback(monkeypatch, capsys):
    def demo(*_):
        raise AssertionError("GET job {}: 503 starting")

    monkeypatch.setattr(cli, "_demo", demo)
    assert cli.main([]) == 1
    assert "error: GET job {}: 503 starting" in capsys.readouterr().err
