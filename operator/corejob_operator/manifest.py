"""The Kubernetes Job of one trial, as a pure function of the CoreJob and its template."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from corejob import args, names, timestamps
from corejob.children import choose_container
from corejob.model import CoreJob
from corejob.names import Runtime
from corejob_operator.settings import OperatorSettings

ENV_LIMIT: Final = 65_536
"""Maximum bytes of one environment variable; Linux allows 131,072 (MAX_ARG_STRLEN)."""
COOKIE_LIMIT: Final = 65_536
"""Maximum bytes of the cookie, as JSON, that a pod gets."""
_FOLDER: Final = "/etc/core4"
_GRACE: Final = "CORE4_GRACE_SECONDS"
_GRACE_MARGIN_S: Final = 3
"""Seconds before SIGKILL at which the runner gives up a job that ignores SIGTERM."""
_ARGUMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HARDENED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_FALLBACK: Final = "FallbackToLogsOnError"
ANNOTATIONS_LIMIT: Final = 262_144
"""Maximum bytes of an object's annotations, keys and values (TotalAnnotationSizeLimitB)."""
_DISRUPTION: Final = {
    "action": "FailJob",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}


class ArgsError(ValueError):
    """The args can't be passed to a pod; the message says why, and what to do."""


def build(
    job: CoreJob,
    template: Mapping[str, Any],
    trial: int,
    settings: OperatorSettings,
    cookie: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the batch/v1 Job of a trial.

    Its name is deterministic, it never retries by itself (`backoffLimit: 0`, restartPolicy Never),
    and it distinguishes a disruption from a failure (`podFailurePolicy`, KEP-3329).

    Args:
        job: The CoreJob.
        template: `spec` of its CoreJobTemplate.
        trial: The trial's number.
        settings: For the default image and the grace period.
        cookie: The key-value store of the qual_name.

    Raises:
        ArgsError: The args can't be passed to a pod; the message says which and what to do.
    """
    problem = args.problem(job.spec, container=_is_container(template))
    if problem is not None:
        raise ArgsError(problem)
    labels, annotations = _labels(job, trial), _annotations(job, template)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.trial_name(job.name, trial),
            "namespace": job.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [_owner(job)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {"rules": [_DISRUPTION]},
            "template": _pod_template(
                template,
                describe(job, trial, cookie or {}),
                settings,
                labels,
                annotations,
                worker=job.spec["worker"],
            ),
        },
    }


def _is_container(template: Mapping[str, Any]) -> bool:
    return bool(template.get("runtime", Runtime.CORE4) != Runtime.CORE4)


def _labels(job: CoreJob, trial: int) -> dict[str, str]:
    labels = {names.LABEL_COREJOB: job.name, names.LABEL_TRIAL: str(trial)}
    label = names.label_value(job.qual_name)
    return labels | ({names.LABEL_QUAL_NAME: label} if label else {})


def _annotations(job: CoreJob, template: Mapping[str, Any]) -> dict[str, str]:
    return {
        names.ANNOTATION_ID: job.id,
        names.ANNOTATION_QUAL_NAME: job.qual_name,
        names.ANNOTATION_RUNTIME: template.get("runtime", Runtime.CORE4),
        names.ANNOTATION_ATTEMPTS_LEFT: str(job.status.attempts_left),
        names.ANNOTATION_USER: job.spec.get("username") or "",
    }


def _owner(job: CoreJob) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_JOB,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_template(
    template: Mapping[str, Any],
    description: Mapping[str, Any],
    settings: OperatorSettings,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    *,
    worker: str | None,
) -> dict[str, Any]:
    pod = copy.deepcopy(dict(template.get("template") or {}))
    meta = pod["metadata"] = pod.get("metadata") or {}
    meta["labels"] = {**(meta.get("labels") or {}), **labels}
    meta["annotations"] = {**(meta.get("annotations") or {}), **annotations}
    spec = pod["spec"] = pod.get("spec") or {}
    spec["restartPolicy"] = "Never"
    spec.setdefault("terminationGracePeriodSeconds", settings.kill_grace)
    # A job gets no access to the Kubernetes API unless its template asks for it.
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("enableServiceLinks", False)
    if worker:
        nodes = spec.get("nodeSelector") or {}
        spec["nodeSelector"] = {**nodes, "kubernetes.io/hostname": worker}
    containers = spec["containers"] = spec.get("containers") or [{"name": names.JOB_CONTAINER}]
    chosen = choose_container([str(container.get("name")) for container in containers])
    meta["annotations"][names.ANNOTATION_CONTAINER] = chosen
    container = next(c for c in containers if str(c.get("name")) == chosen)
    core4 = not _is_container(template)
    if core4:
        _core4_container(container, settings)
    else:
        # Unless the container writes a termination message, its last log lines explain a failure.
        container.setdefault("terminationMessagePolicy", _FALLBACK)
    for init in spec.get("initContainers") or ():
        init.setdefault("terminationMessagePolicy", _FALLBACK)
    container["securityContext"] = {**_HARDENED, **(container.get("securityContext") or {})}
    _pass_description(pod, container, description, core4=core4)
    return pod


def _core4_container(container: dict[str, Any], settings: OperatorSettings) -> None:
    if not container.get("image"):
        container["image"] = settings.job_image
        container.setdefault("imagePullPolicy", settings.job_image_pull_policy)
        # Our image's user is a number other than 0, so Pod Security `restricted` admits it.
        container["securityContext"] = {
            "runAsNonRoot": True,
            **(container.get("securityContext") or {}),
        }
    if not container.get("command"):
        container["command"] = ["core4", "run"]


def fitting(cookie: Mapping[str, Any], room: int = COOKIE_LIMIT) -> dict[str, Any]:
    """Return the part of a cookie that fits into `room` bytes of JSON, smallest values first."""
    kept = {}
    sizes = {key: len(json.dumps([key, value]).encode()) for key, value in cookie.items()}
    for key in sorted(cookie, key=lambda name: (sizes[name], name)):
        room -= sizes[key]
        if room < 0:
            break
        kept[key] = cookie[key]
    return kept


def describe(job: CoreJob, trial: int, cookie: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of the job that its pod gets (docs/job-protocol.md)."""
    return {
        "id": job.id,
        "qualName": job.qual_name,
        "args": dict(job.args),
        "trial": trial,
        "attempts": job.spec["attempts"],
        "attemptsLeft": job.status.attempts_left,
        "progressIntervalSeconds": job.spec["progressIntervalSeconds"],
        "deferUntil": timestamps.iso(job.status.inactive_time),
        "deferMaxSeconds": job.spec["deferMaxSeconds"],
        "enqueued": {
            "at": timestamps.iso(job.enqueued_at),
            "username": job.spec.get("username"),
            "hostname": job.spec.get("hostname"),
            "parent_id": job.spec.get("parentId"),
        },
        "username": job.spec.get("username"),
        "cookie": fitting(cookie),
        "sources": list(job.sources),
    }


def _pass_description(
    pod: dict[str, Any], container: dict[str, Any], description: Mapping[str, Any], *, core4: bool
) -> None:
    """Pass the description to the container by its environment, and by a file if needed.

    Containers without the runtime always get the file; others if the description is too large for
    a variable. The file comes from an annotation by the downward API.
    """
    text = _json(description)
    fits = len(text.encode()) <= ENV_LIMIT
    env = list(container.get("env") or ())
    env += [
        _field("CORE4_NODE", "spec.nodeName"),
        _field("CORE4_POD", "metadata.name"),
    ]
    if core4 and not any(variable["name"] == _GRACE for variable in env):
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        env.append(_literal(_GRACE, str(max(1, grace - _GRACE_MARGIN_S))))
    if fits:
        env.append(_literal("CORE4_JOB", text))
    if not core4:
        env += _argument_variables(description["args"])
    if not fits or not core4:
        env.append(_literal("CORE4_JOB_FILE", f"{_FOLDER}/job.json"))
        annotations = pod["metadata"]["annotations"]
        annotations[names.ANNOTATION_JOB] = _json(_within(description, _room(annotations)))
        _mount(pod, container)
    container["env"] = env


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _room(annotations: Mapping[str, str]) -> int:
    """Return how many bytes the description's annotation may have beside the others."""
    others = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    return ANNOTATIONS_LIMIT - others - len(names.ANNOTATION_JOB)


def _within(description: Mapping[str, Any], room: int) -> Mapping[str, Any]:
    """Return the description within `room` bytes; shorten the cookie in favour of the args.

    Raises:
        ArgsError: The args alone are too large.
    """
    size = len(_json(description).encode())
    if size <= room:
        return description
    cookie = len(_json(description["cookie"]).encode())
    bare = size - cookie
    if bare + len("{}") > room:
        raise ArgsError(
            f"args: a pod can't be given so much: they have, with what belongs to them, {bare} "
            f"bytes, and there is room for {room}; put large data into a file or a database, and "
            "pass its name"
        )
    return {**description, "cookie": fitting(description["cookie"], room - bare)}


def _argument_variables(args: Mapping[str, Any]) -> list[dict[str, Any]]:
    whole = _json(args)
    variables = [_literal("CORE4_ARGS", whole)] if len(whole.encode()) <= ENV_LIMIT else []
    for name, value in args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if _ARGUMENT_NAME.fullmatch(name) and len(text.encode()) <= ENV_LIMIT:
            variables.append(_literal(f"CORE4_ARG_{name.upper()}", text))
    return variables


def _literal(name: str, value: str) -> dict[str, Any]:
    # Kubernetes expands $(NAME) in values; $$ is a literal dollar sign.
    return {"name": name, "value": value.replace("$", "$$")}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _mount(pod: dict[str, Any], container: dict[str, Any]) -> None:
    path = f"metadata.annotations['{names.ANNOTATION_JOB}']"
    volume = {
        "name": "core4-job",
        "downwardAPI": {"items": [{"path": "job.json", "fieldRef": {"fieldPath": path}}]},
    }
    pod["spec"]["volumes"] = [*(pod["spec"].get("volumes") or ()), volume]
    mount = {"name": "core4-job", "mountPath": _FOLDER, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
