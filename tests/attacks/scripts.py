"""Jobs that run Python texts, to try what a container may do."""

from typing import Any

from tests.attacks.names import OPEN
from tests.support.rest import Rest
from tests.support.sse import WAIT_SECONDS

SECONDS = WAIT_SECONDS
"""Seconds within which a pod starts and ends, also on a busy machine."""


def run(rest: Rest, code: str, qual_name: str = OPEN, **args: Any) -> str:
    """Enqueue a job that runs this text, and return its id."""
    return rest.enqueue(qual_name, code=code, **args)


def run_to_end(rest: Rest, code: str, **args: Any) -> dict[str, Any]:
    """Run a text, and return the job's document once it has ended."""
    return rest.wait_state(run(rest, code, **args), "complete", "error", "killed", seconds=SECONDS)
