"""Manifests of new CoreJobs: for an enqueue, and for the restart of another job (docs/rest.md)."""

from collections.abc import Mapping
from typing import Any

from corejob import args
from corejob.model import CoreJob
from corejob.names import API_VERSION, FINALIZER, KIND_JOB, LABEL_QUAL_NAME, label_value
from corejob.properties import TABLE


def manifest(job_id: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CoreJob resource of a new job.

    Args:
        job_id: Its id, which is also its name.
        namespace: Its namespace.
        spec: Its spec; fields that are None are left out.
    """
    label = label_value(str(spec["qualName"]))
    return {
        "apiVersion": API_VERSION,
        "kind": KIND_JOB,
        "metadata": {
            "name": job_id,
            "namespace": namespace,
            "labels": {LABEL_QUAL_NAME: label} if label else {},
            "finalizers": [FINALIZER],
        },
        "spec": {
            **{name: value for name, value in spec.items() if value is not None},
            **(args.fields(spec["args"]) if "args" in spec else {}),
        },
    }


def restart(old: CoreJob, child_id: str) -> dict[str, Any]:
    """Return the CoreJob that restarts `old`.

    Name, args, properties, user and host are those of `old`, and trials count on.
    """
    properties = {prop.field: old.spec.get(prop.field) for prop in TABLE}
    return manifest(
        child_id,
        old.namespace,
        {
            "qualName": old.qual_name,
            "args": dict(old.args),
            **properties,
            "username": old.spec.get("username"),
            "hostname": old.spec.get("hostname"),
            "parentId": old.id,
            "parentName": old.name,
            "carriedTrials": old.status.trial,
        },
    )
