"""CoreJobs and CoreJobTemplates as documents for kubectl."""

from typing import Any

API_VERSION = "core4.io/v1"


def corejob(name: str, **spec: Any) -> dict[str, Any]:
    """Return a CoreJob."""
    return {
        "apiVersion": API_VERSION,
        "kind": "CoreJob",
        "metadata": {"name": name},
        "spec": spec,
    }


def template(qual_name: str, *, pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a CoreJobTemplate; `pod` is the spec of its pod."""
    spec = {"qualName": qual_name, "author": "the suite", **spec}
    if pod is not None:
        spec["template"] = {"spec": pod}
    return {
        "apiVersion": API_VERSION,
        "kind": "CoreJobTemplate",
        "metadata": {"name": qual_name.lower().replace("_", "-")},
        "spec": spec,
    }
