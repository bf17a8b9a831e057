"""Users and jobs of the attacked service."""

from typing import Final

ALICE: Final = "alice"
"""May only run and read `OPEN`; the name is also the password."""
BOB: Final = "bob"
"""May list jobs, and signs in only while others guess; the name is also the password."""
OPEN: Final = "pub.Raw"
"""A job that runs the Python text in `args.code`."""
CLOSED: Final = "secret.Raw"
"""The same, but alice may not learn anything about it."""
