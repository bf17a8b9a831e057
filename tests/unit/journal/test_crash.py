"""A writer killed midway leaves only whole transactions, and a usable store."""

import asyncio
import sys
from typing import Any

from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import JOB, source, until_no_session
from tests.unit.journal.test_changes import CHILD

from corejob_journal.store import Store, Writer


async def test_killed_writer(store_url: str) -> None:
    for round_ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), "flood", store_url, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        async with asyncio.timeout(DEADLINE):
            commits = 0
            await child.stdout.readline()
            while commits < 5 + round_:
                assert await child.stdout.readline()
                commits += 1
        child.kill()
        rest = await child.stdout.read()
        await child.wait()
        commits += rest.count(b"\n")
        if store_url.startswith("postgresql"):
            # The server may still have a COMMIT to handle that the child has sent.
            await until_no_session(store_url, "application_name = 'core4-journal-writer'")
        writer = await Writer.open(store_url)
        store = await Store.open(store_url)
        try:
            position = (await writer.open_stream(source())).position
            count = await store.log_count(JOB)
            found: list[Any] = []
            while page := (await store.log_after(JOB, len(found), limit=10_000)).records:
                found += page
            # Acknowledged transactions are stored, all are whole, and position and lines agree.
            assert count >= commits * 50
            assert count % 50 == 0
            assert position.last_n == count
            assert [record.seq for record in found] == list(range(1, count + 1))
            assert [record.message for record in found] == [
                f"line {n}" for n in range(1, count + 1)
            ]
        finally:
            await store.close()
            await writer.close()
