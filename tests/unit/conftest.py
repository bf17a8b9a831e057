"""Unit tests have a short time limit, since a slow one hangs. Exceptions are marked `timeout`."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from corejob import ids

_HERE = Path(__file__).parent
# Far more than any test needs, since the machine may be busy.
_TIMEOUT = 120
# The first of these tests also installs PostgreSQL's package or builds helm.
_INSTALLING = 600

# hypothesis would limit the milliseconds of an example, which depend on the machine; the time of
# a whole test is limited instead. A test has the same examples in each run; `make fuzz` generates
# new ones, and prints how to repeat a failure.
hypothesis.settings.register_profile(
    "fuzz",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "unit", hypothesis.settings.get_profile("fuzz"), derandomize=True
)
hypothesis.settings.load_profile("unit")


@pytest.fixture(scope="session", autouse=True)
def _same_examples() -> Iterator[None]:
    """Keep values out of the examples that depend on the tests that ran before in this process.

    hypothesis draws some values from the constants of our modules that are imported so far, and
    has no setting for that.
    """
    with pytest.MonkeyPatch.context() as patch:
        if hypothesis.settings.get_current_profile_name() == "unit":
            patch.setattr(providers, "_get_local_constants", Constants)
        yield


@pytest.fixture(autouse=True)
def own_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the last id, since ids ascend and other tests set other times."""
    monkeypatch.setattr(ids, "_last", 0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_figures(config, items)
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            seconds = _INSTALLING if _may_install(item) else _TIMEOUT
            item.add_marker(pytest.mark.timeout(seconds))


def _leave_out_figures(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect measurements of processor time, unless `-m timed` selects them."""
    timed = [item for item in items if item.get_closest_marker("timed")]
    if timed and not config.option.markexpr:
        config.hook.pytest_deselected(items=timed)
        items[:] = [item for item in items if item not in timed]


def _may_install(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    fixtures = getattr(item, "fixturenames", ())
    return (
        parameters.get("store_url") == "postgresql"
        or "postgres_server" in fixtures
        or "helm" in fixtures
    )
