"""Restrict a run to the tests of some suites, whatever files were named.

A plug-in of pytest. `make test ARGS=<files>` passes the same files to the runs of all suites.
"""

from pathlib import Path

import pytest

_OPTION = "--suite"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        _OPTION,
        type=Path,
        action="append",
        default=[],
        help="run only tests in this folder; may be given several times",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of other suites."""
    folders = config.getoption(_OPTION)
    if not folders:
        return
    places = [(config.invocation_params.dir / folder).resolve() for folder in folders]
    others = [item for item in items if not any(map(item.path.is_relative_to, places))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if any(map(item.path.is_relative_to, places))]
