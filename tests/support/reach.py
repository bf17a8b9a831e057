"""Reach a Service of the cluster from this machine without a node port.

On the local cluster pods and services share this machine's network, so the Service's own address
works. Elsewhere kubectl forwards a port; it ends when its pod goes, and is then restarted.
"""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator

from tests.cluster.commands import environment
from tests.cluster.local import LocalCluster
from tests.support.kubectl import Kubectl
from tests.support.ports import free_port
from tests.support.waiting import until

_PAUSE = 0.2


@contextlib.contextmanager
def reached(kubectl: Kubectl, service: str, port: int) -> Iterator[str]:
    """Yield the host and port at which a Service answers while the context lasts."""
    if kubectl.provider.name == LocalCluster.name:
        path = "jsonpath={.spec.clusterIP}"
        yield f"{kubectl('get', 'service', service, '-o', path)}:{port}"
        return
    local = free_port()
    over = threading.Event()
    argv = kubectl.argv("port-forward", f"service/{service}", f"{local}:{port}")
    forwarder = threading.Thread(target=_forward, args=(argv, over), name=f"to {service}")
    forwarder.start()
    try:
        until(lambda: _listens(local), what=f"a forwarded port of {service} is open")
        yield f"127.0.0.1:{local}"
    finally:
        over.set()
        forwarder.join()


def _forward(argv: list[str], over: threading.Event) -> None:
    while not over.is_set():
        process = subprocess.Popen(
            argv,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            while not over.wait(_PAUSE) and process.poll() is None:
                pass
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
