"""Handlers of enqueue, follow, kill, restart and remove."""

import logging

from falcon.asgi import Request, Response

from corejob_api.auth.current_user import current_user
from corejob_api.commands.enqueue import Enqueue, idempotency_key
from corejob_api.commands.restart import Restart
from corejob_api.commands.spec_patches import SpecPatcher, kill, remove
from corejob_api.http import call
from corejob_api.http.call import ApiRequest
from corejob_api.http.envelope import Envelope
from corejob_api.metrics import ApiMetrics
from corejob_api.query.scans import Scans
from corejob_api.queue.jobs import Jobs, job_id_argument
from corejob_api.streams import responses
from corejob_api.streams.hub import Hub

log = logging.getLogger(__name__)


class CommandsResource:
    """Handlers of the commands; errors are answered as JSON, a stream starts only on success."""

    def __init__(
        self,
        *,
        enqueue: Enqueue,
        restart: Restart,
        patcher: SpecPatcher,
        jobs: Jobs,
        hub: Hub,
        scans: Scans,
        envelope: Envelope,
        metrics: ApiMetrics,
        trusted_proxies: int,
    ) -> None:
        self._enqueue = enqueue
        self._restart = restart
        self._patcher = patcher
        self._jobs = jobs
        self._hub = hub
        self._scans = scans
        self._envelope = envelope
        self._metrics = metrics
        self._trusted_proxies = trusted_proxies

    async def enqueue(self, req: ApiRequest, resp: Response) -> None:
        """Enqueue a job."""
        arguments = call.of(req).arguments
        follow = arguments.flag("follow", default=True)
        view = responses.LogView.of(req, arguments) if follow else None
        key = idempotency_key(req.get_header("Idempotency-Key"))
        host = call.client_host(req, self._trusted_proxies)
        request = await self._enqueue.validate(arguments, current_user(req), host)
        job_id = await self._enqueue.create(request, key)
        self._metrics.enqueued.inc()
        log.info("user %s enqueued job %s [%s]", request.user, job_id, request.qual_name)
        # Without a key the job is new, so a position that the client has is of another job.
        self._answer(req, resp, job_id, view if view is None or key else view.from_start())

    async def restart(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """Restart a job."""
        arguments = call.of(req).arguments
        follow = arguments.flag("follow", default=True)
        view = responses.LogView.of(req, arguments) if follow else None
        job_id = job_id_argument(job_id)
        user = current_user(req)
        new_id = await self._restart.restart(job_id, user)
        log.info("user %s restarted job %s as job %s", user.name, job_id, new_id)
        self._answer(
            req, resp, new_id, view if view is None or new_id == job_id else view.from_start()
        )

    async def kill(self, req: Request, resp: Response, job_id: str) -> None:
        """Kill a job."""
        user, job_id = current_user(req), job_id_argument(job_id)
        done = await self._patcher.patch(job_id, user, kill)
        log.info("user %s killed job %s", user.name, job_id)
        self._envelope.answer(req, resp, done)

    async def remove(self, req: Request, resp: Response, job_id: str) -> None:
        """Remove a job from the queue."""
        user, job_id = current_user(req), job_id_argument(job_id)
        done = await self._patcher.patch(job_id, user, remove)
        log.info("user %s removed job %s", user.name, job_id)
        self._envelope.answer(req, resp, done)

    async def follow(self, req: ApiRequest, resp: Response, job_id: str) -> None:
        """Follow a job, current or past."""
        job_id = job_id_argument(job_id)
        view = responses.LogView.of(req, call.of(req).arguments)
        await self._jobs.readable_log(job_id, current_user(req))
        self._answer(req, resp, job_id, view)

    def _answer(
        self, req: ApiRequest, resp: Response, job_id: str, view: responses.LogView | None
    ) -> None:
        """Answer with a stream, or with the job's id if there is no view."""
        if view is None:
            self._envelope.answer(req, resp, job_id)
        else:
            follower = self._hub.follow(
                job_id,
                req.receive,
                self._scans.of(current_user(req).name),
                where=view.where,
                ids=view.ids,
                output=view.output,
                resume=view.resume,
            )
            responses.respond(resp, follower)
