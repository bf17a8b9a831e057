"""Tests that this machine or cluster can't run: left out of a run, which says so at its end.

A plug-in of pytest. The workers of pytest-xdist choose the tests, and its controller, which knows
nothing of them, writes the end of the run; so the workers hand it what they have left out.
"""

from typing import Any

import pytest

_KEY = "left_out"
_said = pytest.StashKey[dict[str, str]]()


def leave_out(
    config: pytest.Config, items: list[pytest.Item], *, marker: str, because: str
) -> None:
    """Take the tests with a marker out of the run."""
    marked = [item for item in items if item.get_closest_marker(marker)]
    if not marked:
        return
    config.hook.pytest_deselected(items=marked)
    items[:] = [item for item in items if item not in marked]
    note = f"left out: {len(marked)} marked {marker}: {because}"
    # The attribute is there in a worker of pytest-xdist only.
    output: dict[str, Any] = getattr(config, "workeroutput", {})
    output[_KEY] = config.stash.setdefault(_said, {})
    output[_KEY][marker] = note


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has left out; it is the same with all of them."""
    handed = getattr(node, "workeroutput", {}).get(_KEY, {})
    node.config.stash.setdefault(_said, {}).update(handed)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say it."""
    for note in config.stash.get(_said, {}).values():
        terminalreporter.write_line(note, yellow=True)
