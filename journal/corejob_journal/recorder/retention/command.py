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
from corejob_journal.recorder.retention_policy import DeletionCounts, RetentionPolicy
from corejob_journal.recorder.settings import RecorderSettings
from corejob_journal.store import Store, StoreError
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError
from corejob_kube.resources import COREJOBS

T = TypeVar("T")


def run(arguments: Sequence[str], settings: RecorderSettings) -> int:
    """Run the command and return its exit code; an error is one line on standard error."""
    policy = parse(arguments, settings.retention)
    try:
        counts = asyncio.run(_survey(settings, policy))
    except (StoreError, KubeError) as error:
        sys.stderr.write(f"core4-recorder: {error}\n")
        return 1
    sys.stdout.write(report(counts, policy))
    return 0


def parse(arguments: Sequence[str], configured: RetentionPolicy) -> RetentionPolicy:
    """Return the configured policy with the arguments' values in place of its own."""
    parser = argparse.ArgumentParser(
        prog="core4-recorder retention",
        description="Show what retention would delete. Only the recorder deletes.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", required=True, help="required: delete nothing"
    )
    parser.add_argument(
        "--max-age-days",
        type=_checked(retention_policy.parse_days),
        help="days until a past job is deleted; default: the recorder's setting",
    )
    parser.add_argument(
        "--max-size",
        type=_checked(retention_policy.parse_size),
        help="maximum size of all past jobs, such as 5Gi; default: the recorder's setting",
    )
    options = parser.parse_args(arguments)
    days = configured.max_age_days if options.max_age_days is None else options.max_age_days
    size = configured.max_bytes if options.max_size is None else options.max_size
    return replace(configured, max_age_days=days, max_bytes=size, dry_run=True)


def report(counts: DeletionCounts, policy: RetentionPolicy) -> str:
    """Return the report: a line with name and value for each count."""

    def time_text(seconds: float | None) -> str:
        return "-" if seconds is None else f"{timestamps.iso(timestamps.from_epoch(seconds))} UTC"

    lines = {
        "kept at most, days": f"{policy.max_age_days:g}" if policy.max_age_days else "for ever",
        "kept at most, bytes": str(policy.max_bytes) if policy.max_bytes else "any",
        "past jobs to delete": str(counts.jobs),
        "bytes, about": str(counts.bytes),
        "journaled from": time_text(counts.first),
        "journaled to": time_text(counts.last),
        "logs without a job": str(counts.orphans),
        "rows of the queue's history": str(counts.history),
    }
    return "".join(f"{name + ':':30}{value}\n" for name, value in lines.items())


def _checked(parse_text: Callable[[str], T]) -> Callable[[str], T]:
    """Return an argparse type that keeps the error's message."""

    def convert(text: str) -> T:
        try:
            return parse_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None

    return convert


async def _survey(settings: RecorderSettings, policy: RetentionPolicy) -> DeletionCounts:
    async with await Kube.load(user_agent="core4-recorder") as kube:
        bodies, _ = await kube.list(COREJOBS, settings.namespace)
    kept = frozenset(model.job_id(body) for body in bodies)
    store = await Store.open(settings.store_url)
    try:
        return await deletion.survey(store, policy, datetime.now(UTC).timestamp(), kept)
    finally:
        await store.close()
