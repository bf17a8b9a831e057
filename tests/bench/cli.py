"""The command line: measure, print tables, write the figures as JSON."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import parts
from tests.bench.parts import PARTS
from tests.bench.simulated import WAITING
from tests.bench.sittings import each_dated, merged
from tests.bench.tables import table
from tests.cluster import deploy
from tests.cluster.errors import ClusterError
from tests.cluster.providers import choose

from corejob_kube.errors import KubeError

_OUTPUT = deploy.ROOT / "build" / "bench.json"
_LEAST_ROUNDS = 10
# OSError is also the base of TimeoutError, and of the exceptions of requests.
_EXPECTED = (ClusterError, AssertionError, KubeError, OSError, subprocess.TimeoutExpired)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; an error is one message, not a traceback."""
    options = _parser().parse_args(argv)
    try:
        _measure(options)
    except _EXPECTED as error:
        return _failed(error)
    except ExceptionGroup as errors:
        # Clients of the same kind fail for the same reason.
        return _failed(_first(errors))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def _measure(options: argparse.Namespace) -> None:
    """Measure the parts, and write all figures after each: an error loses those of its part only.

    Raises:
        ClusterError: The cluster can't run the chosen parts.
    """
    provider = choose()
    parts.check(options.parts, provider)
    figures = _known(options.output) if options.add else {}
    figures |= parts.environment(provider)
    for name, part in parts.measure(options, provider):
        sys.stdout.write(f"{table(part)}\n\n")
        sys.stdout.flush()
        figures[name] = merged(figures.get(name), part)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    sys.stdout.write(f"written: {options.output}\n")


def _failed(error: Exception) -> int:
    # A timeout has no text.
    sys.stderr.write(f"error: {str(error) or type(error).__name__}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Compare the service with plain Kubernetes."
    )
    parser.add_argument("--url", default=deploy.URL, help=f"the service (default: {deploy.URL})")
    parser.add_argument("--namespace", default=deploy.NAMESPACE, help="its namespace")
    parser.add_argument("--rounds", type=_rounds, default=100, help="starts, kills of each kind")
    parser.add_argument("--rate", type=int, default=200, help="lines a second")
    parser.add_argument("--seconds", type=int, default=15, help="how long lines are written")
    parser.add_argument("--pods", type=int, default=4, help="pods that write as much as they can")
    rates = [4000, 10_000, 16_000]
    parser.add_argument("--rates", type=int, nargs="+", default=rates, help="lines/s of all pods")
    counts = [1000, 5000]
    parser.add_argument("--followers", type=int, nargs="+", default=counts, help="of one job")
    sizes = [300, 1000, 10_000]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="jobs of a burst")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each kind, taking turns")
    clients = [1, 16, 64]
    parser.add_argument("--clients", type=int, nargs="+", default=clients, help="of POST /job")
    parser.add_argument("--posts", type=int, default=400, help="requests of a round")
    waiting = [5000, 10_000, 20_000]
    parser.add_argument("--waiting", type=int, nargs="+", default=waiting, help="lengths of queues")
    parser.add_argument("--running", type=_running, default=200, help="jobs that run beside them")
    parser.add_argument("--peers", type=int, default=300, help="jobs of each peer")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"default: {_OUTPUT}")
    parser.add_argument("--add", action="store_true", help="keep the output's other figures")
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if number < _LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"at least {_LEAST_ROUNDS}")
    return number


def _running(text: str) -> int:
    number = int(text)
    if number < len(WAITING):
        # One of each name runs, and the others of the name wait.
        raise argparse.ArgumentTypeError(f"at least {len(WAITING)}, one of each waiting name")
    return number


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _known(path: Path) -> dict[str, Any]:
    return each_dated(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
