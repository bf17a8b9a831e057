"""The cluster, the image and the diagnostics that all suites on the real cluster share.

A plug-in of pytest.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tests.cluster import deploy, diagnostics
from tests.cluster.provider import Provider
from tests.cluster.providers import choose
from tests.support.release import Later, Release

# Uninstalling a release takes seconds of processor time, and more of waiting.
_CLEANERS = 2
_dumped = pytest.StashKey[set[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the state of the namespace in which a test has failed, once for each namespace."""
    del call
    report = yield
    if report.failed:
        shown = item.config.stash.setdefault(_dumped, set())
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Release) and value.namespace not in shown:
                shown.add(value.namespace)
                diagnostics.dump(value.provider, value.namespace)
    return report


@pytest.fixture(scope="session")
def provider() -> Provider:
    """The cluster, started if need be."""
    chosen = choose()
    chosen.up()
    return chosen


@pytest.fixture(scope="session")
def image(provider: Provider) -> str:
    """The image of this checkout."""
    return deploy.provide_image(provider)


@pytest.fixture(scope="session")
def later() -> Iterator[Later]:
    """Uninstalls releases while the next tests run; errors are raised at the end."""
    with ThreadPoolExecutor(_CLEANERS) as pool:
        begun: list[Future[None]] = []
        yield lambda work: begun.append(pool.submit(work))
    for ended in begun:
        ended.result()
