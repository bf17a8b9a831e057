"""Transactions that concurrent callers share, since one costs more than its statements."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from corejob_journal.store.engine import Database
from corejob_journal.store.errors import StoreUnavailable

T = TypeVar("T")

_MOST_CALLS: Final = 500
"""Calls of one transaction at most, since others wait for it."""


@dataclass(frozen=True, slots=True)
class _Call:
    key: str
    work: Callable[[sa.Connection], Any]
    result: "asyncio.Future[Any]"


class SharedTransactions:
    """Runs short calls of many callers; those that arrive during one transaction share the next.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[sa.Connection], T], *, key: str = "") -> T:
        """Run `work` in a transaction, perhaps together with others. Return its result.

        Args:
            work: Called once or more: if one call of a transaction fails, the others are repeated.
            key: Its place in the transaction. Writers that lock rows in one order can't deadlock.

        Raises:
            StoreUnavailable: The database is away, locked or full.
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(key, work, result))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="shared transactions")
        return await result

    async def finish(self) -> None:
        """Wait until all calls are answered."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _drain(self) -> None:
        try:
            while self._waiting:
                calls = self._waiting[:_MOST_CALLS]
                del self._waiting[:_MOST_CALLS]
                await self._transact(sorted(calls, key=lambda call: call.key))
        finally:
            self._task = None

    async def _transact(self, calls: list[_Call]) -> None:
        try:
            answers = await self._database.run(
                lambda connection: [call.work(connection) for call in calls]
            )
        except Exception as error:
            if len(calls) > 1 and not isinstance(error, StoreUnavailable):
                for call in calls:  # one by one, so that the others don't fail with it
                    await self._transact([call])
                return
            for call in calls:
                if not call.result.done():
                    call.result.set_exception(error)
            return
        for call, answer in zip(calls, answers, strict=True):
            if not call.result.done():  # a caller that was cancelled
                call.result.set_result(answer)
