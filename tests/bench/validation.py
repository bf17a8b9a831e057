"""The model of `tests.bench.model` with the measured costs: checks, and predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.bench.model import (
    DEFAULT_CONTROLLER_CALLS,
    Capacity,
    Costs,
    Prediction,
    predict,
)
from tests.bench.sittings import each_dated, sizes

_SUFFIX: Final = " ms"
_MEASURED: Final = "gone/s"
_LONG: Final = 10_000
"""Jobs of a burst that keeps all processors busy for most of its time."""
_STOLEN: Final = 0.05
"""Share of the processors' time above which the machine's host had a part in the figures."""
_BENCHMARK: Final = ("kwok", "logs", "client")
"""Processes that only the benchmark needs."""
CORES: Final = (2, 4, 8, 16, 32)
_SETUPS: Final[Mapping[str, Capacity]] = {
    "default flags of the controller manager": Capacity(
        0, controller_calls=DEFAULT_CONTROLLER_CALLS
    ),
    "one release with SQLite": Capacity(0),
    "3 API pods, 3 recorders": Capacity(0, api_replicas=3, recorders=3),
    "4 namespaces": Capacity(0, operators=4),
    "4 namespaces, 3 API pods, 3 recorders each": Capacity(
        0, operators=4, api_replicas=3, recorders=3
    ),
}
"""Parameters that are varied, apart from the processors."""


@dataclass(frozen=True, slots=True)
class Check:
    """A burst: what the model says, and what was measured.

    Attributes:
        name: Name of the burst.
        size: Number of its jobs.
        predicted: The prediction from the costs of this burst.
        measured: Jobs a second until all was deleted, as the costs are.
    """

    name: str
    size: int
    predicted: Prediction
    measured: float

    @property
    def ratio(self) -> float:
        """The measured rate as a share of the predicted one."""
        return self.measured / self.predicted.rate


def costs(row: Mapping[str, Any]) -> Costs:
    """Return the costs of one job from a row of the part `burst`."""
    cpu = {
        # An idle sample that was too high makes it negative.
        name.removesuffix(_SUFFIX): max(0.0, value / 1000)
        for name, value in row.items()
        if name.endswith(_SUFFIX)
    }
    return Costs(cpu, writes=row["writes"], controller_calls=row["job controller"])


def checks(figures: Mapping[str, Any]) -> Iterator[Check]:
    """Predict each burst from its own costs; the simulation and the client need processors too."""
    capacity = Capacity(cores=figures["machine"]["cpus"])
    for row in figures.get("burst", {}).get("rows", ()):
        if _MEASURED in row:
            predicted = predict(costs(row), capacity)
            yield Check(row["name"], row["size"], predicted, row[_MEASURED])


def steady(figures: Mapping[str, Any]) -> list[Check]:
    """Return the checks of the longest burst, if it must come near to the model.

    It must if it is long, and if neither other load nor the machine's host had the processors.
    """
    burst = each_dated(figures).get("burst")
    longest = max(sizes(burst), default=0) if burst else 0
    if not burst or longest < _LONG:
        return []
    sitting = next(each for each in burst["sittings"] if longest in each["of"])
    if sitting["load_before"] >= figures["machine"]["cpus"]:
        return []
    if sitting.get("stolen", 0.0) > _STOLEN:
        return []
    return [check for check in checks(figures) if check.size == longest]


def predictions(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of the table of all checks."""
    return [
        [
            check.name,
            f"{check.predicted.rate:.1f}",
            check.predicted.limit,
            f"{check.measured:.1f}",
            f"{check.ratio:.2f}",
        ]
        for check in checks(figures)
    ]


def capacities(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of the table of predictions, from the costs of the largest burst."""
    row = next(row for row in reversed(figures["burst"]["rows"]) if row["name"].endswith(": core4"))
    all_costs = costs(row)
    cpu = {name: used for name, used in all_costs.cpu.items() if name not in _BENCHMARK}
    own = Costs(cpu, all_costs.writes, all_costs.controller_calls)
    return [
        [name, *(_shown(predict(own, replace(setup, cores=cores))) for cores in CORES)]
        for name, setup in _SETUPS.items()
    ]


def _shown(prediction: Prediction) -> str:
    return f"{prediction.rate:.0f} ({prediction.limit})"
