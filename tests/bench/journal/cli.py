"""The command line: fill a store, measure, print a table, write the figures as JSON."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from tests.bench.journal import data
from tests.bench.journal.data import Amount
from tests.bench.journal.measure import measure
from tests.bench.tables import table
from tests.cluster.deploy import ROOT
from tests.cluster.output import say
from tests.unit.journal import postgres

from corejob_journal.store import Store, Writer

_OUTPUT = ROOT / "build"
_AIM_MS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Fill and measure, in a folder that is deleted afterwards."""
    options = _parser().parse_args(argv)
    amount = Amount(options.jobs, options.records)
    with tempfile.TemporaryDirectory(prefix="core4-bench-", dir=options.folder) as folder:
        try:
            found = _run(options.store, amount, Path(folder), options.rounds)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            return 130
    sys.stdout.write(f"{table(found)}\n")
    output = options.output or _OUTPUT / f"bench-journal-{options.store}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    sys.stdout.write(f"written: {output}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.journal", description="Find past jobs and logs among many."
    )
    parser.add_argument("--jobs", type=_count, default=1_000_000, help="past jobs")
    parser.add_argument("--records", type=_count, default=20_000_000, help="records of their logs")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=200, help="requests of each kind")
    parser.add_argument("--folder", type=Path, help="where there is room: some 6 GB")
    parser.add_argument("--output", type=Path, help="default: build/bench-journal-<store>.json")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError("at least 100")
    return number


def _run(store: str, amount: Amount, folder: Path, rounds: int) -> dict[str, Any]:
    with _store(store, folder) as url:
        began = time.monotonic()
        asyncio.run(_make(url))
        data.fill(url, amount, lambda done: say(f"{done} of {amount.jobs} jobs"))
        filled = time.monotonic() - began
        say(f"filled in {filled:.0f} s")
        series = asyncio.run(measure(url, amount, folder, rounds))
        load = os.getloadavg()[0]
        sizes = {"estimated": asyncio.run(_estimate(url)), "stored": _stored(url, folder)}
    slow = [each["name"] for each in series if each["p99"] >= _AIM_MS]
    aim = f"slower than {_AIM_MS} ms: {', '.join(slow) or 'none'}"
    title = f"{store}, {amount.jobs} jobs, {amount.records} records, load {load:.1f}; {aim}"
    return {
        "title": title,
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": load},
        "bytes": sizes,
        "filled_s": round(filled, 1),
        "series": series,
        "comparisons": [],
    }


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/journal.db"
        return
    with postgres.server(postgres.programs()) as place:
        yield f"postgresql+psycopg://core4@/postgres?{place}"


async def _make(url: str) -> None:
    writer = await Writer.open(url)
    await writer.close()


async def _estimate(url: str) -> int:
    """Return the size of the store as retention estimates it."""
    store = await Store.open(url)
    try:
        return await store.stored_bytes()
    finally:
        await store.close()


def _stored(url: str, folder: Path) -> int:
    """Return the real size."""
    if url.startswith("sqlite"):
        return (folder / "journal.db").stat().st_size
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
