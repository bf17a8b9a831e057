"""Write the stored cookie of a job class into the status of its CoreJobTemplate.

The operator passes it on to new pods from there, so it needs no access to the store.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from corejob.names import template_name
from corejob.nesting import is_deep
from corejob_journal.recorder.publish.patching import patch_status
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError, NotFoundError
from corejob_kube.resources import TEMPLATES
from corejob_process import tasks
from corejob_process.backoff import Backoff

log = logging.getLogger(__name__)

_WITHIN_S: Final = 30.0
_BACKOFF_FIRST: Final = 0.5
_BACKOFF_MOST: Final = 30.0

Read = Callable[[str], Awaitable[dict[str, Any]]]
"""Reads the cookie of a qual_name from the store."""


class CookieWriter:
    """Patches `status.cookie` of templates: one patch at a time for each, the latest value wins."""

    def __init__(self, kube: Kube, namespace: str, read: Read) -> None:
        self._kube = kube
        self._namespace = namespace
        self._read = read
        self._pending: dict[str, dict[str, str | None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # The qual_names whose whole cookie is to be written, and the tasks that do so.
        self._unpublished: set[str] = set()
        self._publishing: dict[str, asyncio.Task[None]] = {}

    def put(self, qual_name: str, changes: Sequence[tuple[str, Any]]) -> None:
        """Queue changes, in order; a value of None deletes the key."""
        if not changes:
            return
        fields = {key: None if value is None else _text(value) for key, value in changes}
        self._pending.setdefault(qual_name, {}).update(fields)
        if qual_name not in self._tasks:
            task = asyncio.create_task(self._send(qual_name), name=f"cookie {qual_name}")
            self._tasks[qual_name] = task

    async def flushed(self, qual_name: str) -> None:
        """Wait until all changes are written, at most 30 seconds: a template may refuse them."""
        task = self._tasks.get(qual_name)
        if task is not None:
            await asyncio.wait({task}, timeout=_WITHIN_S)

    async def publish_all(self, qual_name: str) -> None:
        """Write the differences between the stored cookie and the template's.

        A recorder that died after storing a change may not have written it to the template.

        Raises:
            KubeError: The template could not be read.
        """
        name = template_name(qual_name)
        try:
            body = await self._kube.get(TEMPLATES, self._namespace, name, sub="status")
        except NotFoundError:
            return
        published = (body.get("status") or {}).get("cookie") or {}
        # Read the store last, so that changes stored from now on are written after these.
        stored = await self._read(qual_name)
        gone = [(key, None) for key in published if key not in stored]
        new = [
            (key, value)
            for key, value in stored.items()
            # Earlier versions stored values that are nested too deep for the operator.
            if not is_deep(value) and published.get(key) != _text(value)
        ]
        self.put(qual_name, [*gone, *new])
        await self.flushed(qual_name)

    async def published(self, qual_name: str) -> None:
        """Wait until `publish_all` has succeeded, at most 30 seconds; it is tried until then.

        All that wait for one template share the requests.
        """
        self._unpublished.add(qual_name)
        task = self._publishing.get(qual_name)
        if task is None:
            task = asyncio.create_task(self._publish(qual_name), name=f"whole cookie {qual_name}")
            self._publishing[qual_name] = task
        await asyncio.wait({task}, timeout=_WITHIN_S)

    async def close(self, within: float) -> None:
        """Write what is pending, but give up after `within` seconds."""
        await tasks.finish(*self._publishing.values(), *self._tasks.values(), within=within)

    async def _publish(self, qual_name: str) -> None:
        backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
        try:
            while qual_name in self._unpublished:
                # Somebody may come while the store is read, and has to see what is read then.
                self._unpublished.discard(qual_name)
                try:
                    await self.publish_all(qual_name)
                except KubeError as error:
                    self._unpublished.add(qual_name)
                    log.warning("the cookie of %s can't be published yet: %s", qual_name, error)
                    await asyncio.sleep(backoff.next())
        finally:
            del self._publishing[qual_name]

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

        # If the template is gone, no new pod needs the cookie.
        name = template_name(qual_name)
        await patch_status(self._kube, TEMPLATES, self._namespace, name, newest)


def _text(value: Any) -> str:
    """Return a value as JSON text, since a merge patch would merge objects instead of replacing."""
    return msgspec.json.encode(value).decode()
