"""A job that prints numbered lines during the attacks; none of them may be lost."""

from typing import Any

from tests.support.jobs import CHATTY
from tests.support.rest import Rest
from tests.support.waiting import until

_RATE = 4
# Longer than all tests may take; the job is killed when they end.
_SECONDS = 7200
_SIZE = 40
_START_SECONDS = 240


class Canary:
    """The job.

    Args:
        rest: The administrator's client.

    Attributes:
        job_id: The job's id.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.job_id = rest.enqueue(CHATTY, rate=_RATE, seconds=_SECONDS, size=_SIZE)
        self.prints_on(seconds=_START_SECONDS)

    def prints_on(self, seconds: float = 180) -> None:
        """Check that a line arrived after this call, and that no earlier line is missing."""
        count = len(self._numbers())
        until(
            lambda: len(self._numbers()),
            lambda seen: seen > count,
            what="the canary prints on",
            seconds=seconds,
            every=0.5,
        )

    def end(self) -> None:
        """Kill the job, and check its whole log."""
        self._rest.kill(self.job_id)
        self._rest.whole_log(self.job_id)
        assert self._numbers()

    def _numbers(self) -> list[int]:
        rows = self._rest.log(self.job_id)
        numbers = [int(number) for row in rows if (number := _number(row)) is not None]
        assert numbers == list(range(1, len(numbers) + 1))
        return numbers


def _number(row: dict[str, Any]) -> str | None:
    first, _, rest = str(row["message"]).partition(" ")
    return first if first.isdecimal() and rest.startswith("xxx") else None
