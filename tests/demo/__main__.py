"""Entry point of ``python -m tests.demo``."""

import sys

from tests.demo.cli import main

sys.exit(main())
