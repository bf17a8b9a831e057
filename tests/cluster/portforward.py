"""Forward a port in the background, for clusters without a node port on this machine."""

from pathlib import Path

from tests.cluster import network, processes
from tests.cluster.cache import cache_dir, folder
from tests.cluster.errors import ClusterError
from tests.cluster.output import tail

_NAME = "port-forward"


def start(kubectl: Path, kubeconfig: Path, namespace: str, target: str, ports: str) -> None:
    """Start the forwarding in place of any other, unless the same one runs already.

    Raises:
        ClusterError: the port is in use, or kubectl does not forward it.
    """
    place = folder("forward")
    state = _state()
    arguments = [f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", "port-forward"]
    argv = [str(kubectl), *arguments, target, ports]
    recorded = state.read().get(_NAME)
    if recorded and recorded.alive() and recorded.argv == tuple(argv):
        return
    port = int(ports.partition(":")[0])
    stop()
    network.require_free((port,), "the forwarding to the service")
    log = place / "log"
    item = processes.spawn(_NAME, argv, log)
    state.add(item)
    if not processes.wait(
        lambda: bool(network.ports_in_use((port,))), 60, lambda: not item.alive()
    ):
        stop()
        raise ClusterError(f"kubectl port-forward does not answer:\n{tail(log)}")


def require_free(port: int) -> None:
    """Check that the port is free, or that our forwarding uses it.

    Raises:
        ClusterError: another process uses the port.
    """
    recorded = _state().read().get(_NAME)
    if not (recorded and recorded.alive()):
        network.require_free((port,), "the forwarding to the service")


def is_recorded() -> bool:
    """True if a forwarding was started and not stopped."""
    return _NAME in _state().read()


def stop() -> None:
    """Stop the forwarding, if it runs."""
    state = _state()
    recorded = state.read().get(_NAME)
    if recorded:
        if recorded.alive():
            processes.stop([recorded.pid])
        state.remove(_NAME)


def _state() -> processes.StateFile:
    return processes.StateFile(cache_dir() / "forward" / "state.json")
