"""Performing the actions of a decision. Each is idempotent: it succeeds if it was done before."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from corejob import lineage, names, texts
from corejob.finalizers import with_finalizer, without_finalizer
from corejob.model import CoreJob
from corejob.names import template_name
from corejob_kube.cache import Body, ObjectCache
from corejob_kube.client import Kube
from corejob_kube.errors import (
    AlreadyExistsError,
    KubeError,
    NotFoundError,
)
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_operator import manifest
from corejob_operator.caches import Caches
from corejob_operator.decide import (
    Action,
    AddFinalizer,
    CreateChild,
    CreateTrial,
    DeleteCoreJob,
    DeleteJob,
    DeletePod,
    RemoveFinalizer,
)
from corejob_operator.refusals import blames_definition, complaint, is_answer
from corejob_operator.settings import OperatorSettings

log = logging.getLogger(__name__)

_MOST_CHARS: Final = 1_000


class BadTemplateError(Exception):
    """The trial's Job can never be created; the message says why."""


class RefusedError(Exception):
    """The trial's Job can't be created for now (a quota, a policy, its name); worth a retry."""


class RefusedRestartError(Exception):
    """The CoreJob that restarts another can't be created for now (a quota, a policy)."""


class ActionPerformer:
    """Performs the actions of one namespace's operator by writes to the Kubernetes API."""

    def __init__(self, kube: Kube, caches: Caches, settings: OperatorSettings) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings

    async def perform(self, job: CoreJob, template: Mapping[str, Any], action: Action) -> None:
        """Perform one action.

        Raises:
            BadTemplateError: A trial's Job is malformed, or its name is taken.
            RefusedError: A trial's Job is forbidden.
            RefusedRestartError: A restart's CoreJob is forbidden.
            KubeError: Any other error of the API server.
        """
        match action:
            case CreateTrial(trial):
                await self._create_trial(job, template, trial)
            case CreateChild(child_id):
                await self._create_child(job, child_id)
            case DeletePod(name, uid):
                answer = await self._kube.delete(PODS, job.namespace, name, uid=uid)
                _keep(self._caches.pods, answer)
            case DeleteJob(name, uid):
                answer = await self._kube.delete(JOBS, job.namespace, name, uid=uid)
                _keep(self._caches.jobs, answer)
            case DeleteCoreJob():
                answer = await self._kube.delete(COREJOBS, job.namespace, job.name, uid=job.uid)
                _keep(self._caches.corejobs, answer)
            case AddFinalizer():
                await self._set_finalizers(job, present=True)
            case RemoveFinalizer():
                await self._set_finalizers(job, present=False)

    async def _create_trial(self, job: CoreJob, template: Mapping[str, Any], trial: int) -> None:
        cookie = await self._cookie(job)
        left_out = sorted(cookie.keys() - manifest.fitting(cookie).keys())
        if left_out:
            log.warning("%s: its cookie is too large, left out: %s", job.name, ", ".join(left_out))
        try:
            body = manifest.build(job, template, trial, self._settings, cookie)
        except manifest.ArgsError as error:
            raise BadTemplateError(str(error)) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # The template's pod can be any JSON.
            raise BadTemplateError(f"the template's pod is malformed: {error!r}") from error
        try:
            created = await self._kube.create(
                JOBS, job.namespace, body, manager=names.MANAGER_OPERATOR, strict=True
            )
        except AlreadyExistsError:
            created = await self._own_job(job, body["metadata"]["name"])
        except KubeError as error:
            raise _refusal(error) from error
        self._caches.jobs.put(created)

    async def _own_job(self, job: CoreJob, name: str) -> dict[str, Any]:
        """Return the existing Job of that name, created by us before a crash.

        Raises:
            BadTemplateError: The Job belongs to somebody else.
            RefusedError: The Job is being deleted, or is an earlier CoreJob's of the same name.
            KubeError: The Job could not be read.
        """
        created = await self._kube.get(JOBS, job.namespace, name)
        owners = created["metadata"].get("ownerReferences") or ()
        if any(_is_namesake(job, owner) for owner in owners):
            raise RefusedError("the Job of an earlier CoreJob of this name is not gone yet")
        if not any(owner["uid"] == job.uid for owner in owners):
            raise BadTemplateError(f"another Job is named {name} already")
        if "deletionTimestamp" in created["metadata"]:
            # The trial is created again under the same name: its old Job must be gone first.
            raise RefusedError("the Job of the run before is not gone yet")
        return created

    async def _cookie(self, job: CoreJob) -> dict[str, Any]:
        """Return the current cookie, read from the API server if the cache has one.

        The watch of templates may lag behind that of CoreJobs.
        """
        if self._caches.has_cookie(job.qual_name):
            name = template_name(job.qual_name)
            with suppress(NotFoundError):  # deleted just now: use the cached template
                self._caches.templates.put(await self._kube.get(TEMPLATES, job.namespace, name))
        return self._caches.cookie(job.qual_name)

    async def _create_child(self, job: CoreJob, child_id: str) -> None:
        try:
            created = await self._kube.create(
                COREJOBS,
                job.namespace,
                lineage.restart(job, child_id),
                manager=names.MANAGER_OPERATOR,
            )
        except AlreadyExistsError:
            return
        except KubeError as error:
            if is_answer(error):
                raise RefusedRestartError(texts.cut(error.message, _MOST_CHARS)) from error
            raise
        self._caches.corejobs.put(created)

    async def _set_finalizers(self, job: CoreJob, *, present: bool) -> None:
        """Add (`present`) or remove our finalizer, and keep all others.

        The patch names the resource version, so that a concurrent change of the list is a conflict.
        """
        body = self._caches.corejobs.get(job.name)
        if body is None:
            return
        meta = body["metadata"]
        patch = {
            "metadata": {
                "finalizers": with_finalizer(meta) if present else without_finalizer(meta),
                "resourceVersion": meta["resourceVersion"],
            }
        }
        try:
            answer = await self._kube.patch(
                COREJOBS, job.namespace, job.name, patch, manager=names.MANAGER_OPERATOR
            )
        except NotFoundError:
            self._caches.corejobs.forget(job.name)
            return
        if "deletionTimestamp" in answer["metadata"] and not answer["metadata"].get("finalizers"):
            # Without its last finalizer the object is deleted: no later answer tells the cache so.
            self._caches.corejobs.drop(answer)
        else:
            self._caches.corejobs.put(answer)


def _keep(cache: ObjectCache, body: Body | None) -> None:
    """Store an object that stays for a while after its deletion, so that it is deleted once."""
    if body is not None:
        cache.put(body)


def _refusal(error: KubeError) -> Exception:
    """Return the exception for a refused Job: a bad definition, a retry, or `error` itself."""
    if blames_definition(error):
        return BadTemplateError(f"Kubernetes refuses the Job: {complaint(error)}")
    if is_answer(error):
        return RefusedError(f"Kubernetes refuses the Job: {texts.cut(error.message, _MOST_CHARS)}")
    return error


def _is_namesake(job: CoreJob, owner: Mapping[str, Any]) -> bool:
    """True if a Job's owner is an earlier CoreJob of the same name."""
    same = (owner["kind"], owner["name"]) == (names.KIND_JOB, job.name)
    return same and owner["uid"] != job.uid
