"""Users and jobs of the attacked service."""

from typing import Final

ALICE: Final = "alice"
"""May run and read `OPEN`, and no more; the name is the password."""
BOB: Final = "bob"
"""May list jobs, and signs in only beside guesses; the name is the password."""
OPEN: Final = "pub.Raw"
"""A job that runs the Python text in `args.code`."""
CLOSED: Final = "secret.Raw"
"""The same, of which alice may know nothing."""
