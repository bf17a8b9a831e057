"""The program that creates a kind cluster with pytest-kind; kind.py runs it as a child process.

pytest-kind creates a folder in the working directory, and kind writes to the terminal. As a child
process it has the cache as its working directory, and kind.py reads its output.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Create the cluster unless one of that name exists. Return kind's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kubeconfig", "kind", "kubectl", "config"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("cluster", "image"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args(argv)
    try:
        from pytest_kind import KindCluster  # type: ignore[import-untyped]
    except ImportError:
        sys.stderr.write("pytest-kind is missing: run `make venv`\n")
        return 1
    cluster = KindCluster(
        options.cluster,
        kubeconfig=options.kubeconfig,
        image=options.image,
        kind_path=options.kind,
        kubectl_path=options.kubectl,
    )
    try:
        cluster.create(options.config)
    except subprocess.CalledProcessError as error:
        return int(error.returncode) or 1
    except (LookupError, TypeError, ValueError) as error:
        # An error in the kubeconfig is not fatal: the parent process reads the file again.
        sys.stderr.write(f"pytest-kind can't read the kubeconfig: {error!r}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
