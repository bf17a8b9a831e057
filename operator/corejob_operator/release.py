"""`core4-operator release`: removes our finalizer from all CoreJobs after an uninstall.

No operator is left to do that; with the finalizer neither the CoreJobs nor their namespace could
be deleted.
"""

import logging

from corejob.finalizers import has_finalizer, without_finalizer
from corejob.names import MANAGER_OPERATOR
from corejob_kube.client import Kube
from corejob_kube.errors import ConflictError, NotFoundError
from corejob_kube.resources import COREJOBS

log = logging.getLogger(__name__)

_ROUNDS = 5


async def release(kube: Kube, namespace: str) -> int:
    """Remove the finalizers; return the number of changed CoreJobs.

    Raises:
        KubeError: A request to the API server failed.
    """
    count = 0
    for _ in range(_ROUNDS):
        try:
            items, _version = await kube.list(COREJOBS, namespace)
        except NotFoundError:
            return count  # the CRDs are deleted, and all CoreJobs with them
        unreleased = [item for item in items if has_finalizer(item["metadata"])]
        if not unreleased:
            return count
        for item in unreleased:
            count += await _release_one(kube, namespace, item["metadata"])
    return count


async def _release_one(kube: Kube, namespace: str, meta: dict[str, object]) -> bool:
    patch = {
        "metadata": {
            "finalizers": without_finalizer(meta),
            "resourceVersion": meta["resourceVersion"],
        }
    }
    try:
        await kube.patch(COREJOBS, namespace, str(meta["name"]), patch, manager=MANAGER_OPERATOR)
    except (ConflictError, NotFoundError):
        return False  # changed or deleted concurrently: the next round lists it again
    log.info("released %s", meta["name"])
    return True
