"""The suite on the real cluster: the cluster, the image, the service, and a clean queue.

A namespace and a release for each test would cost some ten seconds each. So the tests share one
release in a namespace of its own, each with its own jobs, and the jobs that a test leaves in the
queue are killed and removed after it. Tests that kill, reconfigure or uninstall the service, or
need an empty one, use `own_release`: another release for one module, deleted afterwards.

All waits are for conditions, with deadlines (`tests.support.waiting`).
"""

from collections.abc import Callable, Iterator, Mapping

import pytest
from tests.cluster.deploy import ROOT
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider
from tests.cluster.providers import choose
from tests.e2e.values import CLERK, VALUES
from tests.support import hostprocess, project
from tests.support.kubectl import Kubectl
from tests.support.left_out import leave_out
from tests.support.release import Later, Release, at_once, released
from tests.support.rest import Rest

# The first test of a session also waits for the image and the release.
_TIMEOUT = 900
# xdist gives each worker whole files, in this order; the slowest begin first.
_FIRST = (
    "test_store.py",
    "test_recorder.py",
    "test_journal.py",
    "test_logs.py",
    "test_schedules.py",
    "test_deaths.py",
    "test_restarts.py",
)
# Requirements of marked tests on the cluster; each returns the missing one, or None.
_ABILITIES: Mapping[str, Callable[[Provider], str | None]] = {
    "host": hostprocess.unreachable,
    "local": lambda provider: (
        None if provider.name == LocalCluster.name else f"the cluster is {provider.name}"
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seeds", metavar="FIRST:COUNT", help="seeds of test_chaos")


# Last, so that tests deselected by -k and -m are not counted.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(_TIMEOUT))
    order = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    needs = {marker for item in items for marker in _ABILITIES if item.get_closest_marker(marker)}
    for marker in sorted(needs):
        if (lacking := _ABILITIES[marker](choose())) is not None:
            leave_out(config, items, marker=marker, because=lacking)


@pytest.fixture(scope="session")
def release(provider: Provider, image: str, later: Later) -> Iterator[Release]:
    """The service that the tests share."""
    with released(provider, image, VALUES, later=later) as installed:
        yield installed


@pytest.fixture(scope="module")
def own_release(
    request: pytest.FixtureRequest, provider: Provider, image: str, later: Later
) -> Iterator[Release]:
    """A service for one module, whose tests may kill and reconfigure it."""
    # Tests marked `alone` leave no other work to overlap the deletion with.
    alone = request.node.get_closest_marker("alone") is not None
    with released(provider, image, VALUES, later=at_once if alone else later) as installed:
        yield installed


@pytest.fixture(scope="module")
def service(own_release: Release) -> Iterator[Rest]:
    """The administrator's client of the module's own release."""
    with own_release.rest() as client:
        yield client


@pytest.fixture(scope="session")
def rest(release: Release) -> Iterator[Rest]:
    """The administrator's client."""
    with release.rest() as client:
        yield client


@pytest.fixture(scope="session")
def clerk(release: Release) -> Iterator[Rest]:
    """The client of a user who may only execute the example job."""
    with release.rest(CLERK, CLERK) as client:
        yield client


@pytest.fixture(scope="session")
def kubectl(release: Release) -> Kubectl:
    return release.kubectl


@pytest.fixture(scope="session")
def original(provider: Provider, image: str, rest: Rest, kubectl: Kubectl) -> str:
    """The module of a user's project with the jobs of the original's tests, in the catalogue."""
    folder = ROOT / "tests" / "e2e" / "original"
    built = project.build(provider, image, folder, "original")
    kubectl("apply", "-f", "-", stdin=project.templates(folder, "original", built))
    rest.wait_listed("original.jobs.WordsJob")
    return "original.jobs"


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the queue empty: that of `service` in modules that use this fixture, else of `rest`.

    A module with a release of its own says `pytestmark = pytest.mark.usefixtures("service")`, so
    that none of its tests starts the release that the other modules share.
    """
    name = "service" if "service" in request.fixturenames else "rest"
    client: Rest = request.getfixturevalue(name)
    yield
    client.empty_queue()
