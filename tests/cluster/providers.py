"""The choice of a provider."""

import os
from collections.abc import Callable, Mapping, Sequence

from tests.cluster.errors import ClusterError
from tests.cluster.existing import ExistingCluster
from tests.cluster.kind import KindProvider
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider

VARIABLE = "CORE4_CLUSTER"
AUTO = "auto"
# In the order of preference.
FACTORIES: Sequence[Callable[[], Provider]] = (ExistingCluster, KindProvider, LocalCluster)
NAMES = (AUTO, ExistingCluster.name, KindProvider.name, LocalCluster.name)


def choose(
    name: str | None = None,
    *,
    factories: Sequence[Callable[[], Provider]] = FACTORIES,
    environ: Mapping[str, str] = os.environ,
) -> Provider:
    """The provider of that name, or the first that this machine can run.

    Args:
        name: "auto" or a provider's name; without one, CORE4_CLUSTER says it.
        factories: the providers, in the order of preference.
        environ: the environment.

    Raises:
        ClusterError: none can be used; the message says what each lacks.
    """
    wanted = name or environ.get(VARIABLE) or AUTO
    providers = [factory() for factory in factories]
    candidates = [item for item in providers if wanted in (AUTO, item.name)]
    if not candidates:
        known = ", ".join([AUTO, *(item.name for item in providers)])
        raise ClusterError(f"no provider is called {wanted!r}; there are: {known}")
    lacking = []
    for candidate in candidates:
        reason = candidate.unavailable()
        if reason is None:
            return candidate
        lacking.append(f"  {candidate.name}: {reason}")
    raise ClusterError("\n".join(["no Kubernetes cluster can be used here:", *lacking]))
