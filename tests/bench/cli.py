"""The command line: measure, print a table, write the figures as JSON."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from tests.bench import followers, lines, starts, throughput
from tests.bench.raw import Cluster
from tests.bench.report import grid, table
from tests.cluster import deploy
from tests.cluster.errors import ClusterError
from tests.cluster.output import say
from tests.cluster.providers import choose
from tests.support.jobs import ACCEPTANCE, CHATTY
from tests.support.kubectl import Kubectl
from tests.support.rest import BASE, Rest

_OUTPUT = deploy.ROOT / "build" / "bench.json"
_LEAST_ROUNDS = 10
_PARTS = ("starts", "lines", "throughput", "followers")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; an error is one message, not a traceback."""
    options = _parser().parse_args(argv)
    try:
        figures = _measure(options)
    except (ClusterError, AssertionError, requests.RequestException) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    sys.stdout.write(f"written: {options.output}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Compare the service with plain Kubernetes."
    )
    parser.add_argument("--url", default=deploy.URL, help=f"the service (default: {deploy.URL})")
    parser.add_argument("--namespace", default=deploy.NAMESPACE, help="its namespace")
    parser.add_argument("--rounds", type=_rounds, default=12, help="starts of each kind")
    parser.add_argument("--rate", type=int, default=200, help="lines a second")
    parser.add_argument("--seconds", type=int, default=15, help="how long lines are written")
    parser.add_argument("--pods", type=int, default=4, help="pods that write as much as they can")
    rates = [4000, 10_000, 16_000]
    parser.add_argument("--rates", type=int, nargs="+", default=rates, help="lines/s of all pods")
    counts = [1000, 5000]
    parser.add_argument("--followers", type=int, nargs="+", default=counts, help="of one job")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS, help="default: all")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"default: {_OUTPUT}")
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if number < _LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"at least {_LEAST_ROUNDS}")
    return number


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    provider = choose()
    kubectl = Kubectl(provider, options.namespace)
    kubectl.apply_templates(ACCEPTANCE)
    figures: dict[str, Any] = {
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "cluster": provider.name,
    }
    with (
        Rest(f"{options.url}{BASE}") as rest,
        Cluster.connect(kubectl, f"deployment/{deploy.RELEASE}-api") as cluster,
    ):
        rest.wait_listed(CHATTY)
        figures["image"] = cluster.image
        for part in options.parts:
            # The other load of the machine affects the figures as much as the service does.
            load = round(os.getloadavg()[0], 1)
            found = _part(part, options, rest, cluster, kubectl)
            figures[part] = found | {"load_before": load}
            show = table if "series" in found else grid
            sys.stdout.write(f"{show(found)}\n\n")
            sys.stdout.flush()
    return figures


def _part(
    part: str, options: argparse.Namespace, rest: Rest, cluster: Cluster, kubectl: Kubectl
) -> dict[str, Any]:
    say(f"measuring {part}")
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "starts": lambda: starts.measure(rest, cluster, kubectl, rounds=options.rounds),
        "lines": lambda: lines.measure(rest, kubectl, rate=options.rate, seconds=options.seconds),
        "throughput": lambda: throughput.measure(
            rest, cluster, kubectl, rates=options.rates, pods=options.pods, seconds=options.seconds
        ),
        "followers": lambda: followers.measure(
            rest, cluster, kubectl, counts=options.followers, lines=20
        ),
    }
    return measures[part]()
