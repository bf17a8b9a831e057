"""What kopf calls: every event of the kinds that we watch, taken over into `world`. Nothing more.

`on.event` alone: it adds no annotation, no finalizer and no retry of its own (kopf: "Event-watching
handlers"); whatever an event means, the reconciler finds out from the state.
"""

import logging
from typing import Any, Final

import aiohttp
import kopf

from corejob_kube import credentials, tls
from corejob_kube.decoding import Decoder
from corejob_kube.resources import COREJOBS, JOBS, PODS, TEMPLATES, Resource
from corejob_operator import responses
from corejob_operator.world import CHILD_SELECTOR, World

WATCHED: Final = (COREJOBS, TEMPLATES, JOBS, PODS)
_LIST_PAGE: Final = 500


def registry(world: World, decoder: Decoder) -> kopf.OperatorRegistry:
    """The handlers, as kopf wants them."""
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
        """The credentials of our own client; kopf asks again when they are refused.

        The session is ours as well: what it reads, kopf's JSON parser can bear.
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
    """Kopf's settings, each with its reason."""
    chosen = kopf.OperatorSettings()
    # No rights on namespaces and CRDs are needed when nothing is scanned for.
    chosen.scanning.disabled = True
    # One namespace, one active operator: `leadership` sees to it, peering would freeze equals.
    chosen.peering.standalone = True
    # Only what carries our label is sent to us at all.
    for resource in (JOBS, PODS):
        group, version, plural = _names(resource)
        chosen.watching.label_selectors[group, version, plural] = CHILD_SELECTOR
    # A list of many thousand objects is not held in memory twice.
    chosen.watching.chunk_size = _LIST_PAGE
    # Events of Kubernetes are ours to write (`events`), after the status.
    chosen.posting.enabled = False
    # A worker of kopf's does next to nothing for an event: it need not linger for the next.
    chosen.queueing.idle_timeout = 0.5
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return chosen
