"""Creates of this process whose outcome is not known yet, by the job that they would create.

A create that timed out may have been carried out, and its job may come into the cache later. Until
then the cache does not show that the job is in the queue.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from corejob_process.clock import Clock

YOUNG: Final = timedelta(seconds=10)
"""A create younger than this may still be under way."""

InQueue = Callable[[str], Awaitable[bool | None]]
"""Returns True if the job with this id is in the queue; None if no such job is known."""


class TakenError(Exception):
    """Another job holds the claim, or another enqueue is about to take it."""


@dataclass(frozen=True, slots=True)
class _Create:
    job_id: str
    began_at: datetime


class PendingCreates:
    """The pending creates by fingerprint. Callers hold the keyed lock of the fingerprint.

    Args:
        in_queue: Returns True if a job is in the queue.
        now: The clock.
    """

    def __init__(self, in_queue: InQueue, now: Clock) -> None:
        self._in_queue = in_queue
        self._now = now
        self._creates: dict[str, _Create] = {}

    def __len__(self) -> int:
        return len(self._creates)

    async def begin(self, fingerprint: str, job_id: str, inherit_from: str | None = None) -> None:
        """Note that a job is about to be created.

        Args:
            fingerprint: Identity of its qual_name and args.
            job_id: Its id.
            inherit_from: Id of the job that it restarts.

        Raises:
            TakenError: An equal job is in the queue, or may be created at this moment.
        """
        self._drop_old()
        earlier = self._creates.get(fingerprint)
        if (
            earlier is not None
            and earlier.job_id not in {job_id, inherit_from}
            and await self._in_queue(earlier.job_id) is not False
        ):
            raise TakenError
        self._creates.pop(fingerprint, None)  # so that the newest stays the last
        self._creates[fingerprint] = _Create(job_id, self._now())

    def end(self, fingerprint: str) -> None:
        """Note that the job is in the cache, or was certainly not created."""
        self._creates.pop(fingerprint, None)

    def _drop_old(self) -> None:
        """Drop the creates that are over by now; their jobs, if there are any, are in the cache."""
        while self._creates:
            fingerprint, oldest = next(iter(self._creates.items()))
            if self._now() - oldest.began_at < YOUNG:
                return
            del self._creates[fingerprint]
