"""Run the command `core4` by `python -m core4`."""

import sys

from core4.cli import main

if __name__ == "__main__":
    sys.exit(main())
