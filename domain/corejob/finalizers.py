"""Our finalizer on a CoreJob: it keeps the resource until the journal has stored the job."""

from collections.abc import Mapping
from typing import Any

from corejob.names import FINALIZER


def has_finalizer(meta: Mapping[str, Any]) -> bool:
    """True if an object's metadata has our finalizer."""
    return FINALIZER in (meta.get("finalizers") or ())


def with_finalizer(meta: Mapping[str, Any]) -> list[str]:
    """Return the finalizers of an object's metadata with ours added at the end."""
    return [*without_finalizer(meta), FINALIZER]


def without_finalizer(meta: Mapping[str, Any]) -> list[str]:
    """Return the finalizers of an object's metadata without ours."""
    return [name for name in meta.get("finalizers") or () if name != FINALIZER]
