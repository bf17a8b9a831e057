"""Choose a provider."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.cluster import started
from tests.cluster.errors import ClusterError
from tests.cluster.existing import VARIABLE as KUBECONFIG
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
    """Return the named provider, or the one that was started, or the first that works here.

    Args:
        name: "auto" or a provider's name; None uses CORE4_CLUSTER.
        factories: the providers, in the order of preference.
        environ: the environment.

    Raises:
        ClusterError: no provider can be used; the message says what each lacks.
    """
    wanted = name or environ.get(VARIABLE) or AUTO
    providers = [factory() for factory in factories]
    candidates = _named(wanted, providers) or _preferred(providers, environ)
    lacking = []
    for candidate in candidates:
        reason = candidate.unavailable()
        if reason is None:
            return candidate
        lacking.append(f"  {candidate.name}: {reason}")
    head = "no Kubernetes cluster can be used here:"
    if len(candidates) < len(providers):
        head = f"the {candidates[0].name} cluster can't be used now:"
    tail = _others(candidates, providers) if wanted == AUTO else []
    raise ClusterError("\n".join([head, *lacking, *tail]))


def running(
    name: str | None = None,
    *,
    factories: Sequence[Callable[[], Provider]] = FACTORIES,
    environ: Mapping[str, str] = os.environ,
) -> Sequence[Provider]:
    """Return the named provider, or those of all clusters that were started here, latest last.

    A cluster that is not recorded is found by what it has left on this machine.

    Args:
        name: as for `choose`.
        factories: the providers, in the order of preference.
        environ: the environment.

    Raises:
        ClusterError: there is no provider of that name.
    """
    providers = [factory() for factory in factories]
    wanted = name or environ.get(VARIABLE) or AUTO
    return _named(wanted, providers) or list(_running(providers, environ))


def _named(wanted: str, providers: Sequence[Provider]) -> Sequence[Provider]:
    """Return the provider of a name; empty for `auto`.

    Raises:
        ClusterError: there is no provider of that name.
    """
    named = [item for item in providers if item.name == wanted]
    if not named and wanted != AUTO:
        names = ", ".join([AUTO, *(item.name for item in providers)])
        raise ClusterError(f"no provider is called {wanted!r}; there are: {names}")
    return named


def _running(providers: Sequence[Provider], environ: Mapping[str, str]) -> Iterator[Provider]:
    recorded = {item.provider: item for item in started.read()}
    for provider in providers:
        if provider.name not in recorded and provider.left():
            yield provider
    by_name = {provider.name: provider for provider in providers}
    for name, item in recorded.items():
        if name == ExistingCluster.name and not environ.get(KUBECONFIG):
            yield ExistingCluster(item.kubeconfig)
        elif name in by_name:
            yield by_name[name]


def _preferred(providers: Sequence[Provider], environ: Mapping[str, str]) -> Sequence[Provider]:
    """Return the provider that the user names, or that was started; else all."""
    if environ.get(KUBECONFIG):
        # A missing kubeconfig must not select another cluster.
        return [item for item in providers if item.name == ExistingCluster.name]
    # Never select a user's cluster without its variable.
    ours = [item for item in _running(providers, environ) if item.name != ExistingCluster.name]
    return ours[-1:] or providers


def _others(candidates: Sequence[Provider], providers: Sequence[Provider]) -> list[str]:
    if len(candidates) == len(providers):
        return []
    others = "|".join(item.name for item in providers if item not in candidates)
    return [f"It was started or named before. Mend that, or choose: {VARIABLE}={others}"]
