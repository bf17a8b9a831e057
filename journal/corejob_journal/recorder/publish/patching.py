"""Patch the status of objects, retrying until it succeeds: status may be late but not lost."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from corejob.names import MANAGER_RECORDER
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from corejob_kube.resources import Resource
from corejob_process.backoff import Backoff

log = logging.getLogger(__name__)

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_MOST: Final = 5.0
_REFUSED: Final = frozenset({400, 413, 422})
"""Status codes for a patch that violates the schema or is too large."""
_LAST: Final = frozenset({"trial", "complete"})
"""Fields of `status.log` that other components act on: written together, and last."""
_ACTED_ON: Final = ("log", "journaledTime")
"""Fields of `status` that other components act on, in the order in which they are written last."""


async def patch_status(
    kube: Kube, resource: Resource, namespace: str, name: str, newest: Callable[[], dict[str, Any]]
) -> Body | None:
    """Merge-patch an object's status, retrying while the API server is unavailable.

    Fields that the API server refuses (400, 413, 422) are left out and logged; the rest is written.

    Args:
        kube: The API server.
        resource: The object's kind.
        namespace: The object's namespace.
        name: The object's name.
        newest: Returns the fields. Called before each try, since they may have changed meanwhile.

    Returns:
        The object; None if it is gone, or if the API server refuses all fields.
    """
    backoff = Backoff(_BACKOFF_FIRST, _BACKOFF_MOST)
    while True:
        fields = newest()
        try:
            return await _patch(kube, resource, namespace, name, fields)
        except NotFoundError:
            return None
        except (UnavailableError, ConflictError) as error:
            await asyncio.sleep(error.retry_after or backoff.next())
        except KubeError as error:
            parts = _parts(fields) if error.status in _REFUSED else []
            if len(parts) > 1:
                return await _patch_parts(kube, resource, namespace, name, parts)
            log.warning(
                "the status of %s %s takes no %s: %s", resource.plural, name, _named(fields), error
            )
            return None


async def _patch_parts(
    kube: Kube, resource: Resource, namespace: str, name: str, parts: list[dict[str, Any]]
) -> Body | None:
    """Write part after part, so that refused parts don't block the others."""
    body = None
    for part in parts:
        answer = await patch_status(kube, resource, namespace, name, partial(dict, part))
        body = answer if answer is not None else body
    return body


async def _patch(
    kube: Kube, resource: Resource, namespace: str, name: str, fields: dict[str, Any]
) -> Body:
    return await kube.patch(
        resource, namespace, name, {"status": fields}, manager=MANAGER_RECORDER, sub="status"
    )


def _parts(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Split a patch into smaller ones: by field, or by the fields within its only field."""
    if len(fields) > 1:
        ordered = sorted(fields, key=lambda key: _ACTED_ON.index(key) if key in _ACTED_ON else -1)
        return [{key: fields[key]} for key in ordered]
    ((key, value),) = fields.items()
    if not isinstance(value, dict) or len(value) < 2 or value.keys() <= _LAST:
        return [fields]
    last = {inner: inner_value for inner, inner_value in value.items() if inner in _LAST}
    first = [
        {key: {inner: inner_value}} for inner, inner_value in value.items() if inner not in _LAST
    ]
    return [*first, {key: last}] if last else first


def _named(fields: dict[str, Any]) -> str:
    ((key, value),) = fields.items()
    return f"{key}.{next(iter(value))}" if isinstance(value, dict) and value else key
