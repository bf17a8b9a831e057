"""A writer in a process of its own, for tests: `steps` writes on demand, `flood` until killed."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from corejob_journal.store import Writer
from corejob_journal.store.records import Append, LogPosition, LogSource, NewRecord

JOB = "6743aaaaaaaaaaaaaaaaaaaa"


async def main(mode: str, url: str) -> None:
    writer = await Writer.open(url)
    stream = await writer.open_stream(LogSource(JOB, "a.Job", None, 1, "uid-1", "pod", "node"))
    token, n = stream.fencing_token, stream.position.last_n
    print("ready", flush=True)  # noqa: T201
    read: Callable[[], Any] = sys.stdin.readline
    while mode == "flood" or await asyncio.to_thread(read):
        count = 50 if mode == "flood" else 1
        records = [NewRecord(n + i, time.time(), 20, f"line {n + i}") for i in range(1, count + 1)]
        n += count
        position = LogPosition(stamp=n, count=1, last_n=n)
        append = Append(stream, token, token + 1, position, records, lines=count)
        await writer.commit([append])
        token += 1
        print("committed", flush=True)  # noqa: T201
    await writer.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
