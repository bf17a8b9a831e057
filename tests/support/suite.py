"""Restrict a run to the tests of one suite, whatever files were named.

A plug-in of pytest. `make test ARGS=<files>` passes the same files to the runs of both suites.
"""

from pathlib import Path

import pytest

_OPTION = "--suite"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, type=Path, help="run only tests in this folder")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of other suites."""
    folder = config.getoption(_OPTION)
    if folder is None:
        return
    place = (config.invocation_params.dir / folder).resolve()
    others = [item for item in items if not item.path.is_relative_to(place)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.path.is_relative_to(place)]
