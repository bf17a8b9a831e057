"""Entry point of ``python -m tests.cluster``."""

import sys

from tests.cluster.cli import run_process

sys.exit(run_process())
