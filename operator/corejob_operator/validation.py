"""Validates a CoreJobTemplate when it is applied, not when its first job runs.

The operator builds the Job of a trial and sends it to the API server as a strict dry run, which
finds typos, wrong types and missing fields, and stores nothing.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing.exceptions import Unresolvable

from corejob import ids, lineage, model, names
from corejob.names import TemplateReason
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, UnavailableError
from corejob_kube.resources import JOBS
from corejob_operator import manifest, refusals
from corejob_operator.settings import OperatorSettings
from corejob_operator.template_status import Verdict
from corejob_process.clock import Clock

log = logging.getLogger(__name__)

_MOST_CHARS: Final = 300
_NO_UID: Final = "00000000-0000-0000-0000-000000000000"


class Validator:
    """Validates templates by dry runs on the API server."""

    def __init__(self, kube: Kube, settings: OperatorSettings, now: Clock) -> None:
        self._kube = kube
        self._settings = settings
        self._now = now

    async def judge(self, body: Body) -> Verdict:
        """Return the verdict for the condition Valid; with status Unknown, validate again later."""
        spec = body["spec"]
        if names.UNREADABLE in body:
            text = f"the template can't be read: {body[names.UNREADABLE]}"
            return Verdict("False", TemplateReason.BAD_DEFINITION, text)
        problem = await asyncio.to_thread(args_schema_problem, spec.get("argsSchema"))
        if problem is not None:
            text = f"spec.argsSchema is not a JSON schema: {problem}"
            return Verdict("False", TemplateReason.BAD_DEFINITION, text)
        malformed = ""
        try:
            job = _probe(body, self._settings, self._now())
        except Exception as error:  # the pod template can be any JSON
            malformed = f"the pod template is malformed: {error!r}"
            # The API server names the faulty field better than this exception does.
            job = _bare(spec.get("template"), self._settings)
        try:
            await self._kube.create(
                JOBS,
                self._settings.namespace,
                job,
                manager=names.MANAGER_OPERATOR,
                strict=True,
                dry_run=True,
            )
        except KubeError as error:
            verdict = self._refused(spec, error)
            if not malformed or verdict.reason is TemplateReason.BAD_DEFINITION:
                return verdict
        if malformed:
            return Verdict("False", TemplateReason.BAD_DEFINITION, malformed)
        notes = remarks(spec)
        return Verdict("True", TemplateReason.VALID, "; ".join(notes))

    def _refused(self, spec: Mapping[str, Any], error: KubeError) -> Verdict:
        complaint = refusals.complaint(error)
        if refusals.blames_definition(error):
            hint = (
                quantity_path(spec.get("template"))
                if "quantities must match" in complaint
                else None
            )
            complaint = f"{hint}: {complaint}" if hint else complaint
            if complaint.endswith("image: Required value"):
                complaint += ": the template must name one"
            return Verdict("False", TemplateReason.BAD_DEFINITION, complaint)
        if isinstance(error, UnavailableError) and 'webhook "' not in error.message:
            text = f"not checked yet, Kubernetes does not answer: {complaint}"
            return Verdict("Unknown", TemplateReason.UNAVAILABLE, text)
        subject = (
            "Kubernetes says" if isinstance(error, ConflictError) else "Kubernetes refuses its Job"
        )
        return Verdict("Unknown", TemplateReason.REFUSED, f"{subject}: {complaint}")


def _probe(body: Body, settings: OperatorSettings, now: datetime) -> dict[str, Any]:
    """Return the Job of the first trial of a job without args, with a made-up owner."""
    name = ids.derived_id(now, f"{body['metadata']['uid']}/validate")
    spec = {"qualName": body["spec"]["qualName"]}
    corejob = lineage.manifest(name, settings.namespace, spec)
    corejob["metadata"] |= {
        "uid": _NO_UID,
        "resourceVersion": "1",
        "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    job = model.parse(corejob, body["spec"].get("properties") or {})
    return manifest.build(job, body["spec"], 1, settings)


def _bare(template: Any, settings: OperatorSettings) -> dict[str, Any]:
    """Return a Job with the unchanged pod template."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "validate-", "namespace": settings.namespace},
        "spec": {"template": template},
    }


def args_schema_problem(schema: Any) -> str | None:
    """Return why an `argsSchema` is not a JSON schema, with the path; None if valid or absent."""
    if schema is None:
        return None
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        path = "".join(f"/{part}" for part in error.absolute_path)
        return f"{path}: {error.message}"[:_MOST_CHARS] if path else error.message[:_MOST_CHARS]
    except RecursionError:
        return "it is nested too deeply"
    return None


def remarks(spec: Mapping[str, Any]) -> list[str]:
    """Return warnings about settings that are valid but may be unintended, a sentence each."""
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or []
    warnings = []
    container_names = [container.get("name") for container in containers]
    if len(containers) > 1 and names.JOB_CONTAINER not in container_names:
        warnings.append(
            f"none of its containers is named {names.JOB_CONTAINER}: "
            f"the first one, {container_names[0]}, is the job"
        )
    if pod.get("restartPolicy") not in {None, "Never"}:
        warnings.append("its restartPolicy is not used: it is always Never, the service retries")
    refusal = no_args_refusal(spec.get("argsSchema")) if spec.get("schedule") else None
    if refusal is not None:
        warnings.append(f"argsSchema refuses jobs of the schedule, which have no args: {refusal}")
    return warnings


def no_args_refusal(schema: Any) -> str | None:
    """Return why a valid `argsSchema` refuses a job without args; None if it does not."""
    if schema is None:
        return None
    try:
        error = best_match(Draft202012Validator(schema).iter_errors({}))
    except (RecursionError, Unresolvable):
        return None  # enqueuing says it
    return error.message[:_MOST_CHARS] if error is not None else None


def quantity_path(template: Any) -> str | None:
    """Return path and value of the first bad quantity in a pod template, or None.

    The API server's message does not name the field.
    """
    pod = template.get("spec") if isinstance(template, dict) else None
    for kind in ("initContainers", "containers"):
        listed = pod.get(kind) if isinstance(pod, dict) else None
        for index, container in enumerate(listed if isinstance(listed, list) else ()):
            resources = container.get("resources") if isinstance(container, dict) else None
            for group, amounts in (resources if isinstance(resources, dict) else {}).items():
                for name, amount in (amounts if isinstance(amounts, dict) else {}).items():
                    if isinstance(amount, str) and not refusals.is_quantity(amount):
                        path = f"spec.template.spec.{kind}[{index}].resources.{group}.{name}"
                        return f"{path} [{amount[:50]}]"
    return None
