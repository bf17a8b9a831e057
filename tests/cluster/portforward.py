"""A port forwarded in the background, for clusters without a node port on this machine."""

from pathlib import Path

from tests.cluster import network, processes
from tests.cluster.cache import folder
from tests.cluster.errors import ClusterError
from tests.cluster.output import tail

_NAME = "port-forward"


def start(kubectl: Path, kubeconfig: Path, namespace: str, target: str, ports: str) -> None:
    """Forward, unless the very same is forwarded already."""
    place = folder("forward")
    state = processes.StateFile(place / "state.json")
    arguments = [f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", "port-forward"]
    argv = [str(kubectl), *arguments, target, ports]
    recorded = state.read().get(_NAME)
    if recorded and recorded.alive() and recorded.argv == tuple(argv):
        return
    stop()
    port = int(ports.partition(":")[0])
    if network.ports_in_use((port,)):
        raise ClusterError(f"port {port} of this machine is in use")
    log = place / "log"
    item = processes.spawn(_NAME, argv, log)
    state.add(item)
    if not processes.wait(
        lambda: bool(network.ports_in_use((port,))), 60, lambda: not item.alive()
    ):
        stop()
        raise ClusterError(f"kubectl port-forward does not answer:\n{tail(log)}")


def stop() -> None:
    """End it, if it runs."""
    state = processes.StateFile(folder("forward") / "state.json")
    recorded = state.read().get(_NAME)
    if recorded:
        if recorded.alive():
            processes.stop([recorded.pid])
        state.remove(_NAME)
