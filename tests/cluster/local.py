"""The local cluster: real Kubernetes processes on this machine, without a container engine."""

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster import (
    binaries,
    cache,
    controlplane,
    engines,
    image_archive,
    kubeconfig,
    kwok,
    network,
    node,
    packages,
    pki,
    processes,
    remains,
)
from tests.cluster.commands import run
from tests.cluster.component import Component
from tests.cluster.containerd import Containerd
from tests.cluster.errors import ClusterError
from tests.cluster.layout import SERVICE_PORT, Layout
from tests.cluster.output import say, tail
from tests.cluster.provider import ClusterStatus

_PROGRAMS = ("openssl", "containerd", "ctr", "runc", "cni", "iptables", "ip", "umount")
_LOCK = "cluster"
# Processes that would recreate deleted objects are stopped first, in this order.
_STOP_ORDER = ("kube-proxy", "kubelet", "kube-scheduler", "kube-controller-manager")
# Short, since the data that they would still write is deleted anyway.
_PATIENCE = 2.0
_FREE_SECONDS = 30.0
_NODE_SECONDS = 180.0


class LocalCluster:
    """One cluster of real Kubernetes processes for the machine, shared by all checkouts."""

    name = "local"
    node_port: int | None = SERVICE_PORT
    image_pull_policy = "IfNotPresent"

    def __init__(
        self, layout: Layout | None = None, kubelet: Mapping[str, Any] | None = None
    ) -> None:
        """Set the folders, and settings of the kubelet in addition to the usual ones.

        If the settings change, `up` restarts only the kubelet.
        """
        self._kubelet_settings = dict(kubelet or {})
        self._layout = layout or Layout.default()
        self._state = processes.StateFile(self._layout.state)
        self._containerd = Containerd(self._layout.socket)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._layout.kubeconfig

    @property
    def pod_logs(self) -> Path:
        """The folder with the logs of the node's pods."""
        return self._layout.pod_logs

    @property
    def audit_log(self) -> Path:
        """The API server's record of all writes: a JSON document a line."""
        return self._layout.audit_log

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes of the cluster by their names."""
        return {name: item.pid for name, item in self._state.read().items()}

    def unavailable(self) -> str | None:
        """Return which of Linux and root is missing, or None."""
        if platform.system() != "Linux":
            return f"needs Linux, this is {platform.system()}"
        return None if os.geteuid() == 0 else "needs root (namespaces, mounts, iptables)"

    def left(self) -> bool:
        """True if there is a data folder, or a process that uses it."""
        data = self._layout.data
        return data.exists() or bool(remains.find_processes(data))

    def distant(self) -> str | None:
        """Return None, since the node is this machine."""
        return None

    def binary(self, name: str) -> Path:
        """Build a program if needed, and return its path; kubectl is part of hyperkube."""
        return binaries.hyperkube() / name if name == "kubectl" else binaries.installed(name)

    def volume_host_path(self, namespace: str) -> Path | None:
        """Return a folder below the data folder."""
        return self._layout.volumes / namespace

    def up(self) -> None:
        """Start the processes that don't run.

        If no process runs, the cluster starts anew and keeps only its volumes with the journal: the
        machine may have stopped, and etcd does not fsync.

        Raises:
            ClusterError: a component does not start, or the machine is a node of another cluster.
        """
        layout = self._layout
        if not layout.socket_fits():
            raise ClusterError(
                f"the path {layout.socket} is too long for a socket; set CORE4_CACHE to a shorter"
                " folder"
            )
        packages.ensure(_PROGRAMS)
        programs, pause = binaries.hyperkube(), binaries.pause()
        with cache.locked(_LOCK):
            self._require_alone()
            if not self._alive():
                self._clear_for_restart()
            self._forget_simulation()
            node_ip = self._prepare()
            self._start(
                node.containerd(layout),
                controlplane.etcd(layout, programs),
            )
            self._start(controlplane.apiserver(layout, programs, node_ip))
            self._load_pause(pause)
            self._start(
                controlplane.controller_manager(layout, programs),
                controlplane.scheduler(layout, programs),
                node.kubelet(layout, programs, node_ip),
                node.proxy(layout, programs),
            )
            self._await_node()
        say(f"the local cluster runs: KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """Stop and delete everything, in whatever state the cluster is."""
        with cache.locked(_LOCK):
            self._clean()
            remains.delete(self._layout.saved_volumes)
        engines.Buildah.tidy()
        say("the local cluster is gone")

    @contextlib.contextmanager
    def simulated_nodes(self) -> Iterator[None]:
        """Add nodes whose pods are simulated by kwok, and take them away at the end."""
        program, logs = binaries.installed("kwok"), binaries.podlogs()
        self.up()
        try:
            with cache.locked(_LOCK):
                self._kubectl("apply", "-f", "-", stdin=kwok.document())
                self._start(kwok.controller(self._layout, program), kwok.logs(self._layout, logs))
            yield
        finally:
            with cache.locked(_LOCK):
                self._end_simulation()

    def status(self) -> ClusterStatus:
        """Return the state of the processes and of the node."""
        recorded = self._state.read()
        lines = [
            f"{name:26}{'running' if item.alive() else 'dead':10}pid {item.pid}"
            for name, item in recorded.items()
        ]
        ready = bool(recorded) and kubeconfig.AdminClient(self._layout).node_ready()
        lines.append(f"{'node':26}{'ready' if ready else 'not ready'}")
        lines.append(f"{'logs':26}{self._layout.log}")
        running = ready and all(item.alive() for item in recorded.values())
        return ClusterStatus(running, lines)

    def load(self, archive: Path, image: str) -> None:
        """Import the archive, unless containerd has the image."""
        # The lock makes one of the workers of a test run import the image for all.
        with cache.locked("load"):
            if image in self._containerd.images():
                return
            say(f"loading {image}")
            self._containerd.load(archive)
            if image not in self._containerd.images():
                raise ClusterError(f"{archive} holds no image named {image}")

    def _require_alone(self) -> None:
        """Check that no other cluster has its node on this machine.

        Raises:
            ClusterError: there is one; the message says how to use it.
        """
        data = self._layout.data
        if others := remains.other_clusters(data):
            raise ClusterError(
                f"the local cluster of another cache runs on this machine, and there can be only"
                f" one. CORE4_CACHE={others[0].parent} uses it."
            )
        if foreign := remains.foreign_kubernetes(data):
            raise ClusterError(
                f"this machine is a Kubernetes node already: {foreign}. Name its kubeconfig in"
                " CORE4_KUBECONFIG to use it."
            )

    def _alive(self) -> bool:
        """True if a process of the cluster runs, recorded or not.

        The record may be of another version of this program, which must not end a running cluster.
        """
        recorded = any(item.alive() for item in self._state.read().values())
        found = remains.find_processes(self._layout.data)
        return recorded or not all(map(processes.is_dying, found))

    def _end_simulation(self) -> None:
        try:
            # The pods' garbage collector deletes what is left on a node that is gone.
            self._kubectl("delete", "-f", "-", "--ignore-not-found", stdin=kwok.document())
        finally:
            self._stop_simulation()

    def _stop_simulation(self) -> None:
        recorded = {name: item for name, item in self._state.read().items() if item.alive()}
        processes.stop(recorded[name].pid for name in kwok.NAMES if name in recorded)
        self._forget_simulation()

    def _forget_simulation(self) -> None:
        """Forget dead processes of an interrupted simulation: the cluster doesn't need them."""
        for name, item in self._state.read().items():
            if name in kwok.NAMES and not item.alive():
                self._state.remove(name)

    def _kubectl(self, *arguments: str, stdin: str) -> None:
        where = f"--kubeconfig={self.kubeconfig}"
        run([self.binary("kubectl"), where, *arguments], stdin=stdin)

    def _prepare(self) -> str:
        layout = self._layout
        layout.make()
        network.save_sysctls(layout)
        remains.make_cgroups()
        node_ip = network.node_ip()
        pki.make(layout.pki, node_ip)
        plugins = packages.cni_folder()
        assert plugins is not None, "checked for among the packages"
        controlplane.write_config(layout)
        node.write_config(layout, plugins, self._kubelet_settings)
        return node_ip

    def _start(self, *components: Component) -> None:
        """Start components together, then wait until each is ready."""
        started = [component for component in components if self._start_one(component)]
        for component in started:
            self._await(component)

    def _start_one(self, component: Component) -> bool:
        recorded = self._state.read().get(component.name)
        if recorded and recorded.alive():
            if recorded.fingerprint == component.fingerprint():
                return False
            say(f"restarting {component.name}: its settings have changed")
            processes.stop([recorded.pid])
        else:
            say(f"{'restarting' if recorded else 'starting'} {component.name}")
        # An interrupted `up` may have started the process without recording it.
        processes.stop(processes.using(self._layout.data, [component.name]))
        # The kernel closes the sockets of a killed process with a delay.
        if not processes.wait(lambda: not network.ports_in_use(component.ports), _FREE_SECONDS):
            network.require_free(component.ports, component.name)
        log = self._log(component.name)
        item = processes.spawn(component.name, component.argv, log, component.fingerprint())
        self._state.add(item)
        return True

    def _await(self, component: Component) -> None:
        item = self._state.read()[component.name]
        if not processes.wait(component.ready, component.seconds, lambda: not item.alive()):
            how = "is not ready" if item.alive() else "has ended"
            log = self._log(component.name)
            raise ClusterError(f"{component.name} {how}; the end of {log}:\n{tail(log)}")

    def _await_node(self) -> None:
        api = kubeconfig.AdminClient(self._layout)

        def ready() -> bool:
            # A node stays `Ready` for a while after its kubelet has ended.
            return api.node_ready() and self._all_alive()

        if not processes.wait(ready, _NODE_SECONDS, lambda: not self._all_alive()):
            dead = [name for name, item in self._state.read().items() if not item.alive()]
            shown = "\n".join(f"{name}:\n{tail(self._log(name))}" for name in dead or ["kubelet"])
            raise ClusterError(f"the node does not become ready. {shown}")

    def _all_alive(self) -> bool:
        return all(item.alive() for item in self._state.read().values())

    def _load_pause(self, program: Path) -> None:
        if node.PAUSE_IMAGE not in self._containerd.images():
            target = cache.folder("images") / f"{program.parent.name}.tar"
            image_archive.write_image(target, program=program, reference=node.PAUSE_IMAGE)
            self._containerd.load(target)

    def _log(self, name: str) -> Path:
        return self._layout.log / f"{name}.log"

    def _clear_for_restart(self) -> None:
        """Delete a cluster that was not stopped by `down`, except for its volumes."""
        layout = self._layout
        # An earlier `up` may have been interrupted after it had moved the volumes.
        used = layout.volumes.is_dir() and any(layout.volumes.iterdir())
        if used and not layout.saved_volumes.exists():
            say(
                "the local cluster has ended without `make down`: its jobs are lost, its journal is"
                " kept"
            )
            layout.volumes.rename(layout.saved_volumes)
        self._clean()
        if layout.saved_volumes.exists():
            layout.make()
            layout.volumes.rmdir()
            layout.saved_volumes.rename(layout.volumes)

    def _clear_kernel(self) -> None:
        """Undo the changes that another local cluster would share."""
        network.remove_links()
        if remains.foreign_kubernetes(self._layout.data) is None:
            network.remove_rules()
        network.restore_sysctls(self._layout)
        remains.remove_cgroups()

    def _clean(self) -> None:
        """Stop the processes, and undo their changes to the machine."""
        data = self._layout.data
        if not data.exists() and not remains.find_processes(data):
            return
        say("clearing away the local cluster")
        recorded = {name: item for name, item in self._state.read().items() if item.alive()}
        processes.stop((recorded[name].pid for name in _STOP_ORDER if name in recorded), _PATIENCE)
        others = [item.pid for item in recorded.values()]
        processes.stop({*others, *remains.find_processes(data)}, _PATIENCE)
        remains.kill_containers(data)
        remains.unmount(data)
        if sharing := remains.other_clusters(data):
            say(f"the network and the cgroup stay, since {sharing[0]} uses them")
        else:
            self._clear_kernel()
        remains.remove_files(data)
        remains.delete(data)
