"""The cookie of a job class, told to its CoreJobTemplate once the store has it.

The operator gives it to the next pods from there; so the store stays the recorder's and the API's.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from corejob.schema import template_name
from corejob_journal.recorder.patching import patch_status
from corejob_kube import tasks
from corejob_kube.client import Kube
from corejob_kube.resources import TEMPLATES


class CookieWriter:
    """Patches `status.cookie` of templates: one patch of each at a time, the latest wins."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pending: dict[str, dict[str, str | None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def put(self, qual_name: str, changes: Sequence[tuple[str, Any]]) -> None:
        """Tell changes, in order; a value of None deletes."""
        if not changes:
            return
        # As JSON text: a merge patch would merge objects that are meant to replace each other.
        fields = {
            key: None if value is None else msgspec.json.encode(value).decode()
            for key, value in changes
        }
        self._pending.setdefault(qual_name, {}).update(fields)
        if qual_name not in self._tasks:
            task = asyncio.create_task(self._send(qual_name), name=f"cookie {qual_name}")
            self._tasks[qual_name] = task

    async def flushed(self, qual_name: str, within: float) -> None:
        """Wait until all is told, but no longer than so many seconds."""
        task = self._tasks.get(qual_name)
        if task is not None:
            await asyncio.wait({task}, timeout=within)

    async def close(self, within: float) -> None:
        """Tell what is pending, if that takes no longer than so many seconds."""
        await tasks.finish(*self._tasks.values(), within=within)

    async def _send(self, qual_name: str) -> None:
        try:
            while fields := self._pending.pop(qual_name, None):
                await self._patch(qual_name, fields)
        finally:
            del self._tasks[qual_name]

    async def _patch(self, qual_name: str, fields: dict[str, str | None]) -> None:
        def newest() -> dict[str, Any]:
            fields.update(self._pending.pop(qual_name, {}))
            return {"cookie": fields}

        # A template that is gone took along whoever would be given the cookie.
        name = template_name(qual_name)
        await patch_status(self._kube, TEMPLATES, self._namespace, name, newest)
