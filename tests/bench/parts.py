"""The parts of the benchmark: what each needs, and how it is run."""

import argparse
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any, Final

from tests.bench import (
    burst,
    followers,
    kills,
    lines,
    peers,
    posts,
    processes,
    procfs,
    queue,
    simulated,
    sittings,
    starts,
    throughput,
)
from tests.bench.argo import controller
from tests.bench.raw import Cluster
from tests.bench.simulated import Stage
from tests.cluster import binaries, deploy
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.output import say
from tests.cluster.provider import Provider
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
    "kills": lambda options, rest, cluster, kubectl: kills.measure(
        rest, cluster, kubectl, rounds=options.rounds
    ),
}
"""Parts with real pods, in the service that `make up` has started."""
_SIMULATED: Final[Mapping[str, Callable[[Options, Stage], Figures]]] = {
    "burst": lambda options, stage: burst.measure(stage, sizes=options.sizes, pairs=options.pairs),
    "posts": lambda options, stage: posts.measure(
        stage, clients=options.clients, jobs=options.posts, pairs=options.pairs
    ),
    "queue": lambda options, stage: queue.measure(
        stage, sizes=options.waiting, running=options.running
    ),
    "peers": lambda options, stage: peers.measure(stage, jobs=options.peers, rounds=options.rounds),
    "processes": lambda options, stage: processes.measure(stage, rounds=options.pairs),
}
"""Parts with simulated nodes, each in a release of its own."""
PARTS: Final = (*_DEPLOYED, *_SIMULATED)


def check(chosen: Collection[str], provider: Provider) -> None:
    """Check that the cluster can run the chosen parts, before the first one takes its time.

    Raises:
        ClusterError: It has no simulated nodes.
    """
    refused = [name for name in _SIMULATED if name in chosen]
    if refused and not isinstance(provider, LocalCluster):
        raise ClusterError(
            f"{', '.join(refused)}: simulated nodes need the local cluster; this one is "
            f"{provider.name}. Other parts run here: --parts {' '.join(_DEPLOYED)}"
        )


def environment(provider: Provider) -> Figures:
    """Return what all parts of this run have in common."""
    return {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "cluster": provider.name,
        "kubernetes": binaries.KUBERNETES,
        "python": platform.python_version(),
        "version": metadata.version("core4"),
    }


def measure(options: Options, provider: Provider) -> Iterator[tuple[str, Figures]]:
    """Run the chosen parts; yield the name and the figures of each as soon as it is done."""
    if "peers" in options.parts:
        # Not later, where its load would be taken for other load of the machine.
        controller.program()
    for measures in (_deployed, _simulated):
        yield from measures(options, provider)


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
    for name in chosen:
        # The jobs of one part would change the figures of the next.
        with simulated.staged(provider) as stage:
            figures = _run(name, partial(_SIMULATED[name], options, stage))
        yield name, figures


def _run(name: str, part: Callable[[], Figures]) -> Figures:
    say(f"measuring {name}")
    taken = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    # The other load of the machine affects the figures as much as the service does.
    load = round(os.getloadavg()[0], 1)
    commit = run(["git", "rev-parse", "--short", "HEAD"], cwd=deploy.ROOT).stdout.strip()
    before = procfs.stat()
    figures = part()
    stolen = procfs.stolen(before, procfs.stat())
    return sittings.dated(figures, taken=taken, commit=commit, load_before=load, stolen=stolen)
