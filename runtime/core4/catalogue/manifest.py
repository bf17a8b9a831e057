"""Create the CoreJobTemplate manifest of a job class."""

from __future__ import annotations

import inspect
import re
from typing import Any

from core4.queue import properties
from core4.queue.job import CoreJob

API_VERSION = "core4.io/v1"
MAX_NAME = 253
MAX_DOC = 65_536
_QUAL_NAME = re.compile(
    r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?)+"
)


def problems(job_class: type[CoreJob]) -> list[str]:
    """Return why the class can't be in the catalogue, a sentence each; empty if it can."""
    found = properties.problems(job_class)
    name = job_class.qual_name()
    if len(name) > MAX_NAME or not _QUAL_NAME.fullmatch(name):
        found.append(
            f"the name can't be a Kubernetes name: expected at most {MAX_NAME} ASCII letters, "
            "digits, dots and inner underscores"
        )
    return found


def template(
    job_class: type[CoreJob], *, image: str | None = None, namespace: str | None = None
) -> dict[str, Any]:
    """Return the manifest of a class that has no `problems`."""
    metadata = {"name": resource_name(job_class.qual_name())}
    if namespace:
        metadata["namespace"] = namespace
    spec: dict[str, Any] = {"qualName": job_class.qual_name(), "author": job_class.author}
    if doc := inspect.cleandoc(job_class.__doc__ or ""):
        spec["doc"] = doc[:MAX_DOC]
    if tags := properties.tags(job_class):
        spec["tag"] = tags
    if schedule := properties.schedule(job_class):
        spec["schedule"] = schedule
        if time_zone := properties.time_zone(job_class):
            spec["timeZone"] = time_zone
        if (policy := properties.schedule_policy(job_class)) != CoreJob.schedule_policy:
            spec["schedulePolicy"] = policy
    spec["runtime"] = "core4"
    if changed := properties.changed(job_class):
        spec["properties"] = changed
    if image:
        spec["template"] = {"spec": {"containers": [{"name": "job", "image": image}]}}
    return {
        "apiVersion": API_VERSION,
        "kind": "CoreJobTemplate",
        "metadata": metadata,
        "spec": spec,
    }


def resource_name(qual_name: str) -> str:
    """Return the resource's name as the CRD of CoreJobTemplate requires it."""
    return qual_name.lower().replace("_", "-")
