"""Print the state of a cluster after a failure."""

import json
from collections.abc import Iterator

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.output import say
from tests.cluster.provider import Provider

_LOG_LINES = 60


def dump(provider: Provider, namespace: str) -> None:
    """Print nodes, pods, events and the logs of the namespace's pods; never raise ClusterError."""
    try:
        for title, text in _sections(provider, namespace):
            say(f"{title}:\n{text.rstrip()}")
    except ClusterError as error:
        say(f"no more to tell: {error}")


def kubectl(
    provider: Provider, *arguments: str, check: bool = True, stdin: str | None = None
) -> str:
    """Run kubectl against the provider's cluster and return its output.

    Without `check` the output includes standard error.
    """
    command = [str(provider.binary("kubectl")), f"--kubeconfig={provider.kubeconfig}", *arguments]
    result = run(command, check=check, stdin=stdin)
    return result.stdout if check else result.stdout + result.stderr


def _sections(provider: Provider, namespace: str) -> Iterator[tuple[str, str]]:
    yield "cluster", "\n".join(provider.status().lines)
    yield "nodes", kubectl(provider, "get", "nodes", "-o", "wide", check=False)
    yield "pods", kubectl(provider, "get", "pods", "-A", "-o", "wide", check=False)
    inside = ("-n", namespace)
    kinds = "deployments,jobs,services,pvc"
    yield "resources", kubectl(provider, "get", kinds, *inside, "-o", "wide", check=False)
    events = ("get", "events", *inside, "--sort-by=.lastTimestamp")
    yield "events", "\n".join(kubectl(provider, *events, check=False).splitlines()[-40:])
    yield "volumes", kubectl(provider, "get", "pv", check=False)
    names = json.loads(kubectl(provider, "get", "pods", *inside, "-o", "json"))["items"]
    for name in [item["metadata"]["name"] for item in names][:20]:
        described = kubectl(provider, "describe", "pod", *inside, name, check=False)
        yield f"pod {name}", "\n".join(described.splitlines()[-30:])
        for extra in ([], ["--previous"]):
            log = ("logs", name, *inside, "--all-containers", "--prefix", f"--tail={_LOG_LINES}")
            text = kubectl(provider, *log, *extra, check=False)
            if text and "not found" not in text:
                yield f"log of {name}{' (before its restart)' if extra else ''}", text
