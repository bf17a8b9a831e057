"""Attacks on a service with little memory; after each one the service must be unharmed.

All tests of a worker share one release, with memory limits a little above what the service needs.
A job beside the attacks, the canary, prints numbered lines all the time. After each test the
service answers, none of its processes has ended, the canary has all its lines, the
memory is back within bounds, and no log has a traceback. The table at the end of a run shows the
cost of each attack.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.attacks.canary import Canary
from tests.attacks.names import ALICE, BOB, CLOSED, OPEN
from tests.cluster.provider import Provider
from tests.e2e.manifests import template
from tests.e2e.values import VALUES
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.release import Later, Release, released
from tests.support.rest import Rest
from tests.support.vitals import Containers, Memory
from tests.support.waiting import until

_TIMEOUT = 900
_LIMITS = {"api": 384, "recorder": 192, "operator": 192}
"""MiB. The idle processes use about 105, 95 and 70; two password checks take another 128."""
_MOST_GROWTH = 128
"""MiB that all attacks together may leave behind: freed memory that Python does not return."""
_BACK_SECONDS = 180
_ANSWER_SECONDS = 240
_MEMORY = "memory"


def _resources(component: str) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": f"{_LIMITS[component]}Mi"}}}


_VALUES: dict[str, Any] = {
    **VALUES,
    **{component: _resources(component) for component in _LIMITS},
    "auth": {
        **VALUES["auth"],
        "users": [
            *VALUES["auth"]["users"],
            {"name": ALICE, "password": ALICE, "perm": ["api://.*/crud", r"job://pub\.Raw/x"]},
            {"name": BOB, "password": BOB, "perm": ["api://.*/r"]},
        ],
    },
}
_RUN = "import json, os; exec(json.loads(os.environ['CORE4_ARGS'])['code'])"


# The first test of a session also waits for the image and the release.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/attacks/" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the cost of each attack."""
    rows = [
        (report.nodeid.rpartition("::")[2], value)
        # The summary does not name setups and teardowns that have passed.
        for report in terminalreporter.getreports("")
        for name, value in report.user_properties
        if name == _MEMORY and report.when == "teardown"
    ]
    if rows:
        terminalreporter.section("memory in MiB: before / peak / after")
        for test, value in rows:
            terminalreporter.line(f"{value}  {test}")


@pytest.fixture(scope="session")
def release(provider: Provider, image: str, later: Later) -> Iterator[Release]:
    """The attacked service."""
    with released(provider, image, _VALUES, later=later) as installed:
        command = ["python3", "-u", "-c", _RUN]
        container = {"name": "raw", "image": image, "command": command}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 5}
        installed.kubectl.apply(
            *[template(name, runtime="container", pod=pod) for name in (OPEN, CLOSED)]
        )
        with installed.rest() as client:
            client.wait_listed(OPEN)
            client.wait_listed(CLOSED)
        yield installed


@pytest.fixture(scope="session")
def rest(release: Release) -> Iterator[Rest]:
    """The administrator's client."""
    with release.rest() as client, client.by_token() as signed_in:
        yield signed_in


@pytest.fixture(scope="session")
def alice(release: Release) -> Iterator[Rest]:
    """The client of a user who may only run and read one class."""
    with release.rest(ALICE, ALICE) as client, client.by_token() as signed_in:
        yield signed_in


@pytest.fixture(scope="session")
def kubectl(release: Release) -> Kubectl:
    return release.kubectl


@pytest.fixture(scope="session")
def containers(release: Release, rest: Rest) -> Containers:
    """The service's containers, after each has done each kind of work once."""
    _answers(rest)
    return Containers(release.kubectl)


@pytest.fixture(scope="session")
def idle(containers: Containers) -> Mapping[str, Memory]:
    """Memory of the containers before all attacks."""
    return containers.memory()


@pytest.fixture(scope="session")
def canary(rest: Rest) -> Iterator[Canary]:
    """The job that runs during all attacks."""
    job = Canary(rest)
    yield job
    job.end()


@pytest.fixture(autouse=True)
def unharmed(
    request: pytest.FixtureRequest,
    containers: Containers,
    idle: Mapping[str, Memory],
    canary: Canary,
    rest: Rest,
) -> Iterator[None]:
    """Check after each test that the service is as before."""
    before, lives = containers.memory(then_forget=True), containers.lives()
    assert set(lives) == set(_LIMITS)
    yield
    _answers(rest)
    canary.prints_on()
    assert containers.lives() == lives
    until(
        containers.unready,
        lambda pods: not pods,
        what="all pods are ready",
        seconds=_ANSWER_SECONDS,
        every=1,
    )
    after = until(
        containers.memory,
        lambda seen: all(seen[name].now <= idle[name].now + _MOST_GROWTH for name in seen),
        what=f"the memory is back, near {idle}",
        seconds=_BACK_SECONDS,
        every=1,
    )
    request.node.user_properties.append((_MEMORY, _told(before, after)))
    assert containers.traceback() == ""
    rest.empty_queue(but=canary.job_id)


def _answers(rest: Rest) -> None:
    """True if the service lists jobs, runs one and shows it, within the deadline."""
    until(
        lambda: rest.call("GET", "job", json={"per_page": 10}).status_code,
        lambda code: code == 200,
        what="the queue is listed",
        seconds=_ANSWER_SECONDS,
    )
    with rest.run(DUMMY, sleep=0) as stream:
        stream.to_close(seconds=_ANSWER_SECONDS)
    assert stream.states[-1] == "complete"
    assert stream.messages[0] == "start execution"


def _told(before: Mapping[str, Memory], after: Mapping[str, Memory]) -> str:
    return "  ".join(
        f"{name} {before[name].now:4.0f} /{after[name].peak:4.0f} /{after[name].now:4.0f}"
        for name in sorted(before)
    )
