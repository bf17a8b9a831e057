"""The parts of the benchmark: what each needs, and how it is run."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from tests.bench import burst, followers, lines, simulated, starts, throughput
from tests.bench.raw import Cluster
from tests.bench.report import grid, table
from tests.bench.simulated import Stage
from tests.cluster import binaries, deploy
from tests.cluster.output import say
from tests.cluster.provider import Provider
from tests.cluster.providers import choose
from tests.support.jobs import ACCEPTANCE, CHATTY
from tests.support.kubectl import Kubectl
from tests.support.rest import BASE, Rest

Figures = dict[str, Any]
Options = argparse.Namespace

_DEPLOYED: Final[Mapping[str, Callable[[Options, Rest, Cluster, Kubectl], Figures]]] = {
    "starts": lambda options, rest, cluster, kubectl: starts.measure(
        rest, cluster, kubectl, rounds=options.rounds
    ),
    "lines": lambda options, rest, _, kubectl: lines.measure(
        rest, kubectl, rate=options.rate, seconds=options.seconds
    ),
    "throughput": lambda options, rest, cluster, kubectl: throughput.measure(
        rest, cluster, kubectl, rates=options.rates, pods=options.pods, seconds=options.seconds
    ),
    "followers": lambda options, rest, cluster, kubectl: followers.measure(
        rest, cluster, kubectl, counts=options.followers, lines=20
    ),
}
"""Parts with real pods, in the service that `make up` has started."""
_SIMULATED: Final[Mapping[str, Callable[[Options, Stage], Figures]]] = {
    "burst": lambda options, stage: burst.measure(stage, sizes=options.sizes, pairs=options.pairs),
}
"""Parts with simulated nodes, in a release of their own."""
PARTS: Final = (*_DEPLOYED, *_SIMULATED)


def measure(options: Options) -> Figures:
    """Run the chosen parts; print the table of each as soon as it is done."""
    provider = choose()
    figures: Figures = {
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "cluster": provider.name,
        "kubernetes": binaries.KUBERNETES,
    }
    for measures in (_deployed, _simulated):
        for name, found in measures(options, provider):
            figures[name] = found
            show = table if "series" in found else grid
            sys.stdout.write(f"{show(found)}\n\n")
            sys.stdout.flush()
    return figures


def _deployed(options: Options, provider: Provider) -> Iterator[tuple[str, Figures]]:
    chosen = [name for name in options.parts if name in _DEPLOYED]
    if not chosen:
        return
    kubectl = Kubectl(provider, options.namespace)
    kubectl.apply_templates(ACCEPTANCE)
    with (
        Rest(f"{options.url}{BASE}") as rest,
        Cluster.connect(kubectl, f"deployment/{deploy.RELEASE}-api") as cluster,
    ):
        rest.wait_listed(CHATTY)
        for name in chosen:
            yield name, _run(name, partial(_DEPLOYED[name], options, rest, cluster, kubectl))


def _simulated(options: Options, provider: Provider) -> Iterator[tuple[str, Figures]]:
    chosen = [name for name in options.parts if name in _SIMULATED]
    if not chosen:
        return
    with simulated.staged(provider) as stage:
        for name in chosen:
            yield name, _run(name, partial(_SIMULATED[name], options, stage))


def _run(name: str, part: Callable[[], Figures]) -> Figures:
    say(f"measuring {name}")
    # The other load of the machine affects the figures as much as the service does.
    load = round(os.getloadavg()[0], 1)
    return part() | {"load_before": load}
