"""`core4-recorder retention --dry-run`: print what retention would delete."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from corejob import model, timestamps
from corejob_journal.recorder import retention_policy
from corejob_journal.recorder.retention import deletion
from corejob_journal.recorder.retention_policy import Policy, Tally
from corejob_journal.recorder.settings import Settings
from corejob_journal.store import Store, StoreError
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import COREJOBS

T = TypeVar("T")


def run(arguments: Sequence[str], settings: Settings) -> int:
    """Run the command and return its exit code; an error is one line on standard error."""
    wanted = parse(arguments, settings.retention)
    try:
        tally = asyncio.run(_survey(settings, wanted))
    except (StoreError, KubeError) as error:
        sys.stderr.write(f"core4-recorder: {error}\n")
        return 1
    sys.stdout.write(report(tally, wanted))
    return 0


def parse(arguments: Sequence[str], configured: Policy) -> Policy:
    """Return the configured policy with the arguments' values in place of its own."""
    parser = argparse.ArgumentParser(
        prog="core4-recorder retention",
        description="Say what retention would delete. It is the recorder itself that deletes.",
    )
    parser.add_argument("--dry-run", action="store_true", required=True, help="only say it")
    parser.add_argument(
        "--max-age-days", type=_checked(retention_policy.parse_days), help="instead of the setting"
    )
    parser.add_argument(
        "--max-size",
        type=_checked(retention_policy.parse_size),
        help="such as 5Gi, instead of the setting",
    )
    options = parser.parse_args(arguments)
    days = configured.max_age_days if options.max_age_days is None else options.max_age_days
    size = configured.max_bytes if options.max_size is None else options.max_size
    return replace(configured, max_age_days=days, max_bytes=size, dry_run=True)


def report(tally: Tally, wanted: Policy) -> str:
    """Return the report: a line with name and value for each count."""

    def at(seconds: float | None) -> str:
        return "-" if seconds is None else f"{timestamps.iso(timestamps.from_epoch(seconds))} UTC"

    lines = {
        "kept at most, days": f"{wanted.max_age_days:g}" if wanted.max_age_days else "for ever",
        "kept at most, bytes": str(wanted.max_bytes) if wanted.max_bytes else "any",
        "past jobs to delete": str(tally.jobs),
        "bytes, about": str(tally.bytes),
        "journaled from": at(tally.first),
        "journaled to": at(tally.last),
        "logs without a job": str(tally.orphans),
        "rows of the queue's history": str(tally.history),
    }
    return "".join(f"{name + ':':30}{value}\n" for name, value in lines.items())


def _checked(parse_text: Callable[[str], T]) -> Callable[[str], T]:
    """Return an argparse type that keeps the error's message."""

    def convert(text: str) -> T:
        try:
            return parse_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


async def _survey(settings: Settings, wanted: Policy) -> Tally:
    async with await Kube.load(user_agent="core4-recorder") as kube:
        bodies, _ = await kube.list(COREJOBS, settings.namespace)
    kept = frozenset(model.parse(body).id for body in bodies)
    store = await Store.open(settings.store_url)
    try:
        return await deletion.survey(store, wanted, datetime.now(UTC).timestamp(), kept)
    finally:
        await store.close()
