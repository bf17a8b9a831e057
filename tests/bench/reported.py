"""Wait until the operator has reported of each waiting job why it waits, which it does later."""

from typing import Any, Final

from tests.support.rest import Rest
from tests.support.waiting import until

_UNREPORTED: Final[dict[str, Any]] = {"state": "pending", "reason": None}
_SECONDS: Final = 300.0
_EVERY_S: Final = 0.5


def unreported(rest: Rest) -> int:
    """Return the number of waiting jobs that the operator has still to report of."""
    total: int = rest.answer("GET", "job", per_page=1, filter=_UNREPORTED)["total_count"]
    return total


def wait_reported(rest: Rest) -> None:
    """Wait until there is none."""
    until(
        lambda: unreported(rest),
        lambda left: left == 0,
        what="the operator has reported of all waiting jobs why they wait",
        seconds=_SECONDS,
        every=_EVERY_S,
    )
