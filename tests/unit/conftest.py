"""A unit test that takes long hangs: its time is short. One that may take more is marked so."""

from pathlib import Path

import hypothesis
import pytest

from corejob import ids

_HERE = Path(__file__).parent
# Far more than any needs: the machine may be busy.
_TIMEOUT = 120
# The first test of these pays for PostgreSQL's package or for building helm.
_INSTALLING = 600

# hypothesis counts the milliseconds of an example, which are the machine's affair; the time of a
# whole test is what is limited. A run of all tests has the same examples each time; `make fuzz`
# draws new ones, and prints how to repeat what it finds.
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


@pytest.fixture(autouse=True)
def own_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that other tests made, at other times, do not hold those of this one back."""
    monkeypatch.setattr(ids, "_last", 0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_figures(config, items)
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            seconds = _INSTALLING if _may_install(item) else _TIMEOUT
            item.add_marker(pytest.mark.timeout(seconds))


def _leave_out_figures(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Processor time is a figure, not a test: `-m timed` asks for it."""
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
