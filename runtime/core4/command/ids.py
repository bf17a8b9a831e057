"""Ids of jobs on the command line: in full, a unique beginning, or `@latest`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core4.client.errors import Core4Error

if TYPE_CHECKING:
    from core4.client import Client

LATEST: Final = "@latest"
_ID: Final = re.compile(r"[0-9a-f]{24}")
_BEGINNING: Final = re.compile(r"[0-9a-f]{4,23}")


class UnknownIdError(Core4Error):
    """A text names no job, or more than one."""


def resolve(client: Client, texts: Sequence[str]) -> list[str]:
    """Return the ids that texts of the command line stand for.

    Raises:
        UnknownIdError: A text is no id, no unique beginning of an id in the queue, or there is no
            latest job.
    """
    ids = [_exact(client, text) for text in texts]
    if None not in ids:
        return [job_id for job_id in ids if job_id is not None]
    queued = [job.id for job in client.queue()]
    return [
        job_id if job_id is not None else _beginning(text.lower(), queued)
        for job_id, text in zip(ids, texts, strict=True)
    ]


def _exact(client: Client, text: str) -> str | None:
    """Return the id of a text that needs no listing; None for the beginning of an id."""
    if text == LATEST:
        return _latest(client)
    if _ID.fullmatch(text.lower()):
        return text.lower()
    if not _BEGINNING.fullmatch(text.lower()):
        raise UnknownIdError(
            f"not an id of a job: {text!r}; give 24 hex digits, at least the first 4 digits of a "
            f"job in the queue, or {LATEST}"
        )
    return None


def _beginning(text: str, queued: Sequence[str]) -> str:
    found = [job_id for job_id in queued if job_id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownIdError(f"no job in the queue has an id that begins with {text}")
    raise UnknownIdError(
        f"{len(found)} jobs in the queue have ids that begin with {text}: "
        + ", ".join(found[:3])
        + (", …" if len(found) > 3 else "")
    )


def remember(client: Client, job_id: str) -> None:
    """Remember a job as the latest one of its server; it doesn't matter if that fails."""
    path = _file()
    try:
        jobs = {**_remembered(path), client.url: job_id}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(jobs) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        pass


def _latest(client: Client) -> str:
    job_id = _remembered(_file()).get(client.url)
    if job_id is None:
        raise UnknownIdError(f"no job was enqueued from here at {client.url} yet")
    return job_id


def _file() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path("~/.local/state").expanduser()
    return root / "core4" / "latest.json"


def _remembered(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
