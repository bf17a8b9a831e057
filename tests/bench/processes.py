"""The size of the image, and the start of each process with an empty queue."""

from statistics import median
from typing import Any

from tests.bench import ready
from tests.bench.figures import spread
from tests.bench.simulated import Stage
from tests.cluster.deploy import ROOT
from tests.cluster.image import project_image
from tests.cluster.output import say


def measure(stage: Stage, *, rounds: int) -> dict[str, Any]:
    """Replace the pods of the service repeatedly."""
    seconds: dict[str, list[float]] = {}
    for number in range(rounds):
        for component in ("api", "operator"):
            for name, taken in ready.starts(stage.release, component).items():
                seconds.setdefault(name, []).append(taken)
        say(f"{number + 1} of {rounds} starts")
    rows: list[dict[str, Any]] = [
        {
            "name": f"{name}: from start to ready",
            "seconds": round(median(taken), 2),
            "spread": spread(taken),
        }
        for name, taken in seconds.items()
    ]
    rows.append({"name": "image", "MB": project_image(ROOT).megabytes})
    return {"title": "image and start", "rows": rows}
