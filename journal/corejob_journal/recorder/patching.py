"""Writing into a status until it is done: what is told there can wait, but must not get lost."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from corejob.names import MANAGER_RECORDER
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError
from corejob_kube.resources import Resource

log = logging.getLogger(__name__)

_BACKOFF_FIRST: Final = 0.1
_BACKOFF_MOST: Final = 5.0


async def patch_status(
    kube: Kube, resource: Resource, namespace: str, name: str, newest: Callable[[], dict[str, Any]]
) -> Body | None:
    """Merge-patch an object's status, again and again as long as the API server is away.

    Args:
        kube: The API server.
        resource: The object's kind.
        namespace: Its namespace.
        name: Its name.
        newest: The fields; asked before each try, since they may have changed during one in vain.

    Returns:
        The object; None if it is gone, or takes no such fields (the log says so).
    """
    backoff = _BACKOFF_FIRST
    while True:
        fields = newest()
        try:
            return await kube.patch(
                resource,
                namespace,
                name,
                {"status": fields},
                manager=MANAGER_RECORDER,
                sub="status",
            )
        except NotFoundError:
            return None
        except (UnavailableError, ConflictError) as error:
            await asyncio.sleep(error.retry_after or backoff)
            backoff = min(backoff * 2, _BACKOFF_MOST)
        except KubeError:
            log.exception("the status of %s %s takes no %s", resource.plural, name, sorted(fields))
            return None
