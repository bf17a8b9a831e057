"""The part of an object that the recorder keeps in its caches: a queue has ten thousands. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from corejob import model, names
from corejob.state import FINAL, State
from corejob_kube.cache import Body

_META: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_META_MORE: Final = (*_META, "generation", "deletionTimestamp", "finalizers")
_SPEC: Final = ("qualName", "username", "kill", "remove", "childId", "carriedTrials")
_STATUS: Final = (
    "id",
    "state",
    "trial",
    "carriedTrials",
    "childId",
    "inactiveTime",
    "removedTime",
    "log",
    "progress",
    "sources",
    "sourcesDropped",
    "journaledTime",
)
_POD_META: Final = (*_META, "deletionTimestamp", "ownerReferences")
_POD_LABELS: Final = (names.LABEL_COREJOB, names.LABEL_TRIAL)
_POD_ANNOTATIONS: Final = (
    names.ANNOTATION_ID,
    names.ANNOTATION_QUAL_NAME,
    names.ANNOTATION_USER,
    names.ANNOTATION_RUNTIME,
    names.ANNOTATION_CONTAINER,
    names.ANNOTATION_ATTEMPTS_LEFT,
)
_CONTAINER: Final = ("name", "restartPolicy", "restartPolicyRules", "resources")
_CONTAINER_STATUS: Final = ("name", "state", "lastState", "restartCount")
_POD_STATUS: Final = ("phase", "reason", "message", "conditions")


def at_rest(body: Mapping[str, Any]) -> bool:
    """True if the recorder has nothing to do for a CoreJob until it changes.

    It waits, or has stopped and stays in the queue, or it is archived; and its log is finalised.
    """
    status = body.get("status") or {}
    state = status.get("state")
    if state == State.RUNNING or model.unfinalised_trial(body) is not None:
        return False
    if status.get("journaledTime"):
        return True
    if state == State.COMPLETE:
        return False
    return not _leaves(body) if state in FINAL else not status.get("removedTime")


def _leaves(body: Mapping[str, Any]) -> bool:
    """True if a user has removed, deleted or restarted a CoreJob."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return bool(
        spec.get("remove")
        or spec.get("childId")
        or status.get("childId")
        or status.get("removedTime")
        or body["metadata"].get("deletionTimestamp")
    )


def corejob(body: Body) -> Body:
    """Return what the recorder needs of a CoreJob: little while it is at rest.

    A CoreJob that is not is whole, as its document needs it, but for the fields of Kubernetes.
    """
    spec, status = body.get("spec") or {}, body.get("status") or {}
    kept: Body = {"metadata": _only(body["metadata"], _META_MORE)}
    if at_rest(body):
        kept["spec"] = _only(spec, _SPEC)
        kept["status"] = _only(status, _STATUS)
    else:
        kept["spec"] = spec
        kept["status"] = {key: value for key, value in status.items() if key != "conditions"}
    if names.UNREADABLE in body:
        kept[names.UNREADABLE] = body[names.UNREADABLE]
    return kept


def pod(body: Body) -> Body:
    """Return what the recorder needs of a pod: whose it is, and the state of its containers."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    kept_meta = _only(meta, _POD_META)
    kept_meta["labels"] = _only(meta.get("labels") or {}, _POD_LABELS)
    kept_meta["annotations"] = _only(meta.get("annotations") or {}, _POD_ANNOTATIONS)
    kept_spec = _only(spec, ("nodeName",))
    kept_status = _only(status, _POD_STATUS)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            kept_spec[field] = _each(spec[field], _CONTAINER)
    for field in ("containerStatuses", "initContainerStatuses"):
        if status.get(field):
            kept_status[field] = _each(status[field], _CONTAINER_STATUS)
    return {"metadata": kept_meta, "spec": kept_spec, "status": kept_status}


def _only(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _each(items: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> list[dict[str, Any]]:
    return [_only(item, keys) for item in items]
