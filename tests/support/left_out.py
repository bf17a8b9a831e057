"""Deselect tests that this machine or cluster can't run, and report them at the end of the run.

A plug-in of pytest. The workers of pytest-xdist select the tests but its controller writes the
summary, so the workers pass their deselected tests on to it.
"""

from typing import Any

import pytest

_KEY = "left_out"
_said = pytest.StashKey[dict[str, str]]()


def leave_out(
    config: pytest.Config, items: list[pytest.Item], *, marker: str, because: str
) -> None:
    """Deselect the tests with a marker, for a reason."""
    marked = [item for item in items if item.get_closest_marker(marker)]
    if not marked:
        return
    config.hook.pytest_deselected(items=marked)
    items[:] = [item for item in items if item not in marked]
    note = f"left out: {len(marked)} marked {marker}: {because}"
    # Only workers of pytest-xdist have this attribute.
    output: dict[str, Any] = getattr(config, "workeroutput", {})
    output[_KEY] = config.stash.setdefault(_said, {})
    output[_KEY][marker] = note


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the deselected tests of a worker, which are the same for all workers."""
    handed = getattr(node, "workeroutput", {}).get(_KEY, {})
    node.config.stash.setdefault(_said, {}).update(handed)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Report the deselected tests."""
    for note in config.stash.get(_said, {}).values():
        terminalreporter.write_line(note, yellow=True)
