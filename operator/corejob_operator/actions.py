"""Carrying out what `decide` decided. Each action may be done again: done already is done."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from corejob import lineage, names
from corejob.model import CoreJob
from corejob.schema import template_name
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, InvalidError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES
from corejob_operator import manifest
from corejob_operator.decide import (
    Action,
    CreateChild,
    CreateTrial,
    DeleteCoreJob,
    DeleteJob,
    DeletePod,
    Hold,
    Release,
)
from corejob_operator.settings import Settings
from corejob_operator.world import World

log = logging.getLogger(__name__)


class BadTemplateError(Exception):
    """The trial's Job can't be made, now or ever; the message says why."""


class RefusedError(Exception):
    """The trial's Job can't be made as things are (a quota, a policy, its name); it may pass."""


class Actions:
    """Writes to Kubernetes on behalf of one namespace's operator."""

    def __init__(self, kube: Kube, world: World, settings: Settings) -> None:
        self._kube = kube
        self._world = world
        self._settings = settings

    async def perform(self, job: CoreJob, template: Mapping[str, Any], action: Action) -> None:
        """Do one action.

        Raises:
            BadTemplateError: A trial's Job is malformed, or its name is taken.
            RefusedError: A trial's Job is forbidden.
            KubeError: Anything else that the API server says.
        """
        match action:
            case CreateTrial(trial):
                await self._create_trial(job, template, trial)
            case CreateChild(child_id):
                await self._create_child(job, child_id)
            case DeletePod(name, uid):
                await self._kube.delete(PODS, job.namespace, name, uid=uid)
            case DeleteJob(name, uid):
                await self._kube.delete(JOBS, job.namespace, name, uid=uid)
            case DeleteCoreJob():
                await self._kube.delete(COREJOBS, job.namespace, job.name, uid=job.uid)
            case Hold():
                await self._set_finalizers(job, held=True)
            case Release():
                await self._set_finalizers(job, held=False)

    async def _create_trial(self, job: CoreJob, template: Mapping[str, Any], trial: int) -> None:
        cookie = await self._cookie(job)
        left_out = sorted(cookie.keys() - manifest.fitting(cookie).keys())
        if left_out:
            log.warning("%s: its cookie is too large, left out: %s", job.name, ", ".join(left_out))
        try:
            body = manifest.build(job, template, trial, self._settings, cookie)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # Any JSON may stand where the template's pod should.
            raise BadTemplateError(f"the template's pod is malformed: {error!r}") from error
        name = body["metadata"]["name"]
        try:
            made = await self._kube.create(
                JOBS, job.namespace, body, manager=names.MANAGER_OPERATOR
            )
        except ConflictError:
            made = await self._kube.get(JOBS, job.namespace, name)
            owners = made["metadata"].get("ownerReferences") or ()
            if any(_is_namesake(job, owner) for owner in owners):
                text = "the Job of an earlier CoreJob of this name is not gone yet"
                raise RefusedError(text) from None
            if not any(owner["uid"] == job.uid for owner in owners):
                raise BadTemplateError(f"another Job is named {name} already") from None
        except InvalidError as error:
            raise BadTemplateError(f"Kubernetes refuses the Job: {error.message}") from error
        except KubeError as error:
            if error.status == 403:
                raise RefusedError(f"Kubernetes refuses the Job: {error.message}") from error
            raise
        self._world.jobs.put(made)

    async def _cookie(self, job: CoreJob) -> dict[str, Any]:
        """The cookie as it is now: our watch of templates may be behind that of CoreJobs."""
        if self._world.has_cookie(job.qual_name):
            name = template_name(job.qual_name)
            with suppress(NotFoundError):  # its pod is asked for by the one that we know
                self._world.templates.put(await self._kube.get(TEMPLATES, job.namespace, name))
        return self._world.cookie(job.qual_name)

    async def _create_child(self, job: CoreJob, child_id: str) -> None:
        try:
            made = await self._kube.create(
                COREJOBS,
                job.namespace,
                lineage.restart(job, child_id),
                manager=names.MANAGER_OPERATOR,
            )
        except ConflictError:
            return
        self._world.corejobs.put(made)

    async def _set_finalizers(self, job: CoreJob, *, held: bool) -> None:
        """Ours on or off; others' stay, whoever changes them at the same time."""
        body = self._world.corejobs.get(job.name)
        if body is None:
            return
        meta = body["metadata"]
        others = [name for name in meta.get("finalizers") or () if name != names.FINALIZER]
        patch = {
            "metadata": {
                "finalizers": [*others, names.FINALIZER] if held else others,
                "resourceVersion": meta["resourceVersion"],
            }
        }
        try:
            answer = await self._kube.patch(
                COREJOBS, job.namespace, job.name, patch, manager=names.MANAGER_OPERATOR
            )
        except NotFoundError:
            self._world.corejobs.forget(job.name)
            return
        if "deletionTimestamp" in answer["metadata"] and not answer["metadata"].get("finalizers"):
            # The last finalizer of a deleted object: this answer is the last that is heard of it.
            self._world.corejobs.drop(answer)
        else:
            self._world.corejobs.put(answer)


def _is_namesake(job: CoreJob, owner: Mapping[str, Any]) -> bool:
    """Whether a Job's owner is another CoreJob that had the same name."""
    same = (owner["kind"], owner["name"]) == (names.KIND_JOB, job.name)
    return same and owner["uid"] != job.uid
