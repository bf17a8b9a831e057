"""Writes the status of a CoreJob: at most one patch a reconcile, then its Event."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from corejob import model, names, texts
from corejob.model import CoreJob, Status
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import InvalidError, KubeError, NotFoundError
from corejob_kube.resources import COREJOBS
from corejob_operator import events
from corejob_operator.caches import Caches
from corejob_operator.conditions import conditions
from corejob_operator.event_recorder import EventRecorder
from corejob_operator.metrics import OperatorMetrics
from corejob_operator.settings import OperatorSettings
from corejob_operator.started_trials import StartedTrials
from corejob_process.lru import LruMap

_TOO_LARGE: Final = 413
_MOST_CHARS: Final = 300
_MOST_WRITTEN: Final = 1024


class _Written(NamedTuple):
    """A version of a CoreJob whose status was found to be as decided, with all that it depends on.

    Most reconciles find the same again, and to render a status takes longer than to compare it.
    """

    version: str
    status: Status
    has_properties: bool


class JobStatusWriter:
    """Writes the operator's fields of the status of CoreJobs."""

    def __init__(
        self,
        *,
        kube: Kube,
        caches: Caches,
        settings: OperatorSettings,
        started_trials: StartedTrials,
        event_recorder: EventRecorder,
        metrics: OperatorMetrics,
        instance: str,
    ) -> None:
        self._kube = kube
        self._caches = caches
        self._settings = settings
        self._started_trials = started_trials
        self._events = event_recorder
        self._metrics = metrics
        self._instance = instance
        self._written: LruMap[str, _Written] = LruMap(_MOST_WRITTEN)

    async def write(
        self, job: CoreJob, body: Body, status: Status, now: datetime, *, plain: bool = False
    ) -> None:
        """Patch the fields that differ; send no request if none does.

        Messages come from containers, kubelets and webhooks. If the API server refuses them, write
        all other fields without them (`plain`): bad texts must not keep a job from its end.

        Raises:
            KubeError: The status could not be written.
        """
        properties = self._started_trials.properties(job.name, job.qual_name)
        written = _Written(job.resource_version, status, properties is not None)
        if self._written.get(job.name) == written:
            return
        current = body.get("status") or {}
        fields = self._fields(job, current, status, properties, now)
        changed = {
            name: value for name, value in fields.items() if current.get(name) != _stored(value)
        }
        if not changed:
            self._written.put(job.name, written)
        if not changed or self._caches.corejobs.get(job.name) is None:
            return
        try:
            answer = await self._kube.patch(
                COREJOBS,
                job.namespace,
                job.name,
                {"status": changed},
                manager=names.MANAGER_OPERATOR,
                sub="status",
            )
        except NotFoundError:
            self._caches.corejobs.forget(job.name)
            return
        except KubeError as error:
            if not plain and _is_refused_for_its_texts(error):
                await self.write(job, body, _without_texts(status, error), now, plain=True)
                return
            if isinstance(error, InvalidError):
                # The cache is stale: the stored state is final, and can't change. Read it again.
                self._caches.corejobs.put(await self._kube.get(COREJOBS, job.namespace, job.name))
            raise
        self._caches.corejobs.put(answer)
        self._metrics.writes.inc()
        if job.status.state is not status.state:
            self._metrics.transitions.labels(str(status.state)).inc()
        self._events.record(events.transition(job, status, now, self._instance))

    def _fields(
        self,
        job: CoreJob,
        current: Mapping[str, Any],
        status: Status,
        properties: Mapping[str, Any] | None,
        now: datetime,
    ) -> dict[str, Any]:
        fields = model.render_status(status)
        if "properties" not in current and properties is not None:
            # Copy the installation's default too: a later change of it does not apply to this job.
            limit = properties.get("maxParallel") or self._settings.max_parallel
            fields["properties"] = {**properties, "maxParallel": limit}
        fields["observedGeneration"] = job.generation
        # No empty list, which would be a change of a status without any.
        fields["conditions"] = (
            conditions(status, job.generation, current.get("conditions") or (), now) or None
        )
        return fields


def _stored(value: Any) -> Any:
    """Return a field as a merge patch stores it: an object without the nulls, which delete."""
    if not isinstance(value, Mapping):
        return value
    return {name: part for name, part in value.items() if part is not None}


def _is_refused_for_its_texts(error: KubeError) -> bool:
    """True if the API server refuses the object's content or its size."""
    return isinstance(error, InvalidError) or error.status == _TOO_LARGE


def _without_texts(status: Status, error: KubeError) -> Status:
    cause = texts.cut(error.message, _MOST_CHARS)
    message = f"Kubernetes does not store message and lastError of this job: {cause}"
    return replace(status, message=message, last_error=None)
