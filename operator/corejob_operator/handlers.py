"""The kopf handlers and settings: each watch event goes into the caches of `world`, nothing more.

Only `on.event` is used: it adds no annotation, no finalizer and no retry (kopf: "Event-watching
handlers"). The reconciler decides by the state of the objects, not by the event.
"""

import logging
from typing import Any, Final

import aiohttp
import kopf

from corejob_kube import credentials, tls
from corejob_kube.decoding import Decoder
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES, Resource
from corejob_operator import responses
from corejob_operator.caches import CHILD_SELECTOR, World

WATCHED: Final = (COREJOBS, TEMPLATES, JOBS, PODS)
_LIST_PAGE: Final = 500


def registry(world: World, decoder: Decoder) -> kopf.OperatorRegistry:
    """Return the registry of the handlers for kopf."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login(decoder))
    for resource in WATCHED:
        kopf.on.event(*_names(resource), registry=handlers, id=resource.plural)(
            _observer(world, resource)
        )
    return handlers


def _observer(world: World, resource: Resource) -> Any:
    async def observe(event: kopf.RawEvent, **_: Any) -> None:
        world.heard(resource, event["type"], dict(event["object"]))

    return observe


def _names(resource: Resource) -> tuple[str, str, str]:
    group, _, version = resource.group_version.rpartition("/")
    return group, version, resource.plural


def _login(decoder: Decoder) -> Any:
    async def login(**_: Any) -> kopf.AiohttpSession:
        """Return a session with our own client's credentials; kopf logs in again after a refusal.

        Its response class cuts objects that are nested too deeply for kopf's JSON parser.
        """
        found = await credentials.load()
        header = await credentials.authorization(found)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls.context(found), limit=0),
            headers={"Authorization": header} if header else {},
            response_class=responses.readable(decoder),
        )
        return kopf.AiohttpSession(server=found.host, aiohttp_session=session)

    return login


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings, each with its reason."""
    chosen = kopf.OperatorSettings()
    # Without scanning, no rights on namespaces and CRDs are needed.
    chosen.scanning.disabled = True
    # `leadership` elects the active operator; peering would freeze operators of equal priority.
    chosen.peering.standalone = True
    # The API server sends only the Jobs and pods that have our label.
    for resource in (JOBS, PODS):
        group, version, plural = _names(resource)
        chosen.watching.label_selectors[group, version, plural] = CHILD_SELECTOR
    # Pages keep a list of many thousand objects from being in memory twice.
    chosen.watching.chunk_size = _LIST_PAGE
    # The operator posts Kubernetes Events itself (`events`), after the status write.
    chosen.posting.enabled = False
    # A kopf worker only fills the cache: waiting long for the next event would save nothing.
    chosen.queueing.idle_timeout = 0.5
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return chosen
