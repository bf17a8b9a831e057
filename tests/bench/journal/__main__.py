"""Entry point of ``python -m tests.bench.journal``."""

import sys

from tests.bench.journal.cli import main

sys.exit(main())
