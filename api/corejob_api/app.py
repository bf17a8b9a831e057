"""`create_app` assembles the service. There is no global state; importing reads no settings."""

import asyncio
from importlib.metadata import version
from typing import Any

import msgspec
from falcon.asgi import App, Request, Response

from corejob.names import LABEL_RECORDER
from corejob_api import openapi
from corejob_api.auth.middleware import ArgumentReader, Authentication
from corejob_api.auth.origins import OriginCheck
from corejob_api.auth.passwords import Passwords
from corejob_api.auth.session import LoginResource, LogoutResource, ProfileResource
from corejob_api.auth.signin import SignIn
from corejob_api.auth.signin_failures import FailedSignIns
from corejob_api.auth.tokens import Tokens
from corejob_api.auth.users import UserDirectory
from corejob_api.commands.claims import Claims
from corejob_api.commands.enqueue import Enqueue
from corejob_api.commands.resource import CommandsResource
from corejob_api.commands.restart import Restart
from corejob_api.commands.sole_replica import USUAL_TIMING, ReplicaTiming, SoleReplica
from corejob_api.commands.spec_patches import SpecPatcher
from corejob_api.commands.store_health import StoreHealth
from corejob_api.counts.resource import CountsResource
from corejob_api.health import ApiHealth
from corejob_api.http.call import ApiRequest
from corejob_api.http.connection_limit import RefuseBeyondLimit
from corejob_api.http.envelope import JSON, Envelope
from corejob_api.http.error_handlers import ErrorHandlers
from corejob_api.http.middleware import CallMiddleware, Cors, SecurityHeaders
from corejob_api.http.routing import AllowedMethods, add_routes
from corejob_api.logs.resource import LogResource
from corejob_api.meta import MetaResource
from corejob_api.metrics import ApiMetrics
from corejob_api.past.resource import PastResource
from corejob_api.query.scans import Scans
from corejob_api.queue.catalogue import Catalogue
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs
from corejob_api.queue.log_barrier import LogBarrier
from corejob_api.queue.resource import QueueResource
from corejob_api.routes import Resources, table
from corejob_api.settings import ApiSettings
from corejob_api.streams.hub import KEEP_ALIVE_S, Hub
from corejob_journal.store import Store
from corejob_kube.client import Kube
from corejob_kube.informer import Informer
from corejob_kube.resources import COREJOBS, LEASES, TEMPLATES
from corejob_process.clock import Clock, system_clock
from corejob_process.keyed_locks import KeyedLocks
from corejob_process.supervision import Supervision


class Service:
    """The parts of one running service."""

    def __init__(
        self,
        settings: ApiSettings,
        kube: Kube,
        store: Store,
        *,
        now: Clock,
        keep_alive: float,
        timing: ReplicaTiming,
        supervision: Supervision | None = None,
    ) -> None:
        namespace = settings.namespace
        self.version = version("core4")
        self.supervision = supervision or Supervision()
        self.metrics = ApiMetrics()
        self.envelope = Envelope(self.version, now)
        self.corejobs = Informer(kube, COREJOBS, namespace)
        self.templates = Informer(kube, TEMPLATES, namespace)
        self.recorders = Informer(kube, LEASES, namespace, selector=LABEL_RECORDER)
        self.informers = (self.corejobs, self.templates, self.recorders)
        self.catalogue = Catalogue(self.templates)
        self.queue = Queue(self.corejobs, self.catalogue)
        self.barrier = LogBarrier(self.queue)
        self.jobs = Jobs(self.queue, store, kube, namespace, now)
        self.sole_replica = SoleReplica(
            kube,
            namespace,
            pod=settings.pod_name,
            selector=settings.replica_selector,
            corejobs=self.corejobs,
            now=now,
            timing=timing,
        )
        self.claims = Claims(
            kube,
            namespace,
            self.jobs.in_queue,
            lambda: self.sole_replica.is_sole,
            now,
            most_keys=settings.key_limit,
        )
        self.hub = Hub(self.queue, store, now, self.metrics, keep_alive=keep_alive)
        self.scans = Scans()
        store_health = StoreHealth(store, self.recorders)
        self.health = ApiHealth(
            self.supervision, self.informers, store_health, self.queue, self.metrics
        )
        self.failed_sign_ins = FailedSignIns(self.metrics)
        self.sign_in = SignIn(
            UserDirectory(settings.users_file),
            Passwords(),
            Tokens(settings.jwt_secret, now, most_age=settings.token_most_age),
            self.failed_sign_ins,
            trusted_proxies=settings.trusted_proxies,
        )
        self.origins = OriginCheck(settings.cors_origins)
        self.resources = Resources(
            queue=QueueResource(
                self.queue, self.catalogue, self.jobs, self.scans, self.envelope, self.barrier, now
            ),
            past=PastResource(store, self.scans, self.envelope),
            log=LogResource(self.jobs, store, self.hub, self.scans, self.barrier, self.envelope),
            counts=CountsResource(store, self.hub, self.scans, self.envelope, now),
            commands=self._commands(settings, kube, store_health, now),
            login=LoginResource(self.sign_in, self.origins, self.envelope),
            logout=LogoutResource(self.origins, self.envelope),
            profile=ProfileResource(self.envelope),
            meta=MetaResource(settings, self.version, self.envelope),
        )
        self.routes = table(self.resources, self.openapi)
        self._document = msgspec.json.encode(openapi.document(self.routes, self.version))

    def _commands(
        self, settings: ApiSettings, kube: Kube, store_health: StoreHealth, now: Clock
    ) -> CommandsResource:
        namespace, locks = settings.namespace, KeyedLocks()
        patcher = SpecPatcher(kube, namespace, self.queue, self.jobs)
        enqueue = Enqueue(
            kube=kube,
            namespace=namespace,
            store_health=store_health,
            catalogue=self.catalogue,
            queue=self.queue,
            jobs=self.jobs,
            claims=self.claims,
            locks=locks,
            queue_limit=settings.queue_limit,
            now=now,
        )
        restart = Restart(
            kube=kube,
            namespace=namespace,
            store_health=store_health,
            queue=self.queue,
            jobs=self.jobs,
            claims=self.claims,
            locks=locks,
            patcher=patcher,
            now=now,
        )
        return CommandsResource(
            enqueue=enqueue,
            restart=restart,
            patcher=patcher,
            jobs=self.jobs,
            hub=self.hub,
            scans=self.scans,
            envelope=self.envelope,
            metrics=self.metrics,
            trusted_proxies=settings.trusted_proxies,
        )

    async def openapi(self, _req: Request, resp: Response) -> None:
        """Answer with the OpenAPI document."""
        resp.content_type = JSON
        resp.data = self._document

    def is_ready(self) -> bool:
        """True if all informers are synced."""
        return all(informer.is_synced for informer in self.informers)

    # Falcon calls these two methods as middleware, on the lifespan events of the ASGI server.

    async def process_startup(self, _scope: Any, _event: Any) -> None:
        """Start informers, claims and hub; does not wait for Kubernetes or the store."""
        self.templates.start(self.supervision)
        self.recorders.start(self.supervision)
        self.sole_replica.start(self.supervision)  # starts the informer of CoreJobs
        self.claims.start(self.supervision)
        self.hub.start(self.supervision)

    async def process_shutdown(self, _scope: Any, _event: Any) -> None:
        """Log the summary of failed sign-ins; stop hub, claims, scans and informers in order."""
        self.failed_sign_ins.log_omitted()
        await self.hub.stop()
        await self.sole_replica.stop()
        await self.claims.stop()
        self.scans.close()
        await asyncio.gather(*(informer.stop() for informer in self.informers))


class Api(App[Any, Any]):
    """The ASGI application, with its service."""

    def __init__(self, service: Service, settings: ApiSettings) -> None:
        self.service = service
        allowed_methods = AllowedMethods(service.routes)
        calls = CallMiddleware(system_clock, service.metrics)
        cors = Cors(settings.cors_origins, allowed_methods)
        super().__init__(
            request_type=ApiRequest,
            middleware=[
                calls,
                SecurityHeaders(),
                cors,
                RefuseBeyondLimit(),
                service.origins,
                ArgumentReader(service.sign_in),
                service,
            ],
        )
        self.req_options.strip_url_path_trailing_slash = True
        ErrorHandlers(service.envelope, allowed_methods).register(self)
        add_routes(self, Authentication(service.sign_in, service.is_ready), service.routes)


def create_app(
    settings: ApiSettings,
    kube: Kube,
    store: Store,
    *,
    now: Clock = system_clock,
    keep_alive: float = KEEP_ALIVE_S,
    timing: ReplicaTiming = USUAL_TIMING,
    supervision: Supervision | None = None,
) -> Api:
    """Return the ASGI application.

    Args:
        settings: The settings.
        kube: An open client; the caller closes it after the application's shutdown.
        store: An open reader; the caller closes it after the application's shutdown.
        now: The clock.
        keep_alive: Seconds of silence after which a stream sends a keep-alive.
        timing: Times by which replicas find out about each other.
        supervision: Supervises the application's long-lived tasks; None: a new one.

    Raises:
        ValueError: The users' file is invalid.
        OSError: The users' file can't be read.
    """
    service = Service(
        settings,
        kube,
        store,
        now=now,
        keep_alive=keep_alive,
        timing=timing,
        supervision=supervision,
    )
    return Api(service, settings)
