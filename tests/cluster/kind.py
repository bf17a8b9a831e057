"""A kind cluster, for machines with a Docker engine."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.cluster import binaries, cache, docker, kind_failures, network, processes
from tests.cluster.commands import run, run_visibly
from tests.cluster.errors import ClusterError
from tests.cluster.kindnode import Node
from tests.cluster.layout import SERVICE_PORT
from tests.cluster.output import Heartbeat, say
from tests.cluster.provider import ClusterStatus

CLUSTER = "core4"
# The node image that the pinned kind was released with.
NODE_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
# Variable that names another node image, such as one that was built here.
IMAGE_VARIABLE = "CORE4_KIND_IMAGE"
NODE_PORT = 30501

_CREATOR = Path(__file__).with_name("kind_create.py")
# On a busy machine a starting node takes minutes until all of its pods run again.
_READY_SECONDS = 300.0
# Time within which a creation by another process must reach kubeadm.
_UNFINISHED_SECONDS = 60.0


def cluster_config() -> dict[str, Any]:
    """Return the kind configuration: one node, whose node port is mapped to this machine."""
    mapping = {
        "containerPort": NODE_PORT,
        "hostPort": SERVICE_PORT,
        "listenAddress": "127.0.0.1",
    }
    # Otherwise the kubelet refuses machines with cgroup v1.
    kubelet = {"kind": "KubeletConfiguration", "failCgroupV1": False}
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "kubeadmConfigPatches": [json.dumps(kubelet)],
        "nodes": [{"role": "control-plane", "extraPortMappings": [mapping]}],
    }


class KindProvider:
    """One kind cluster for the machine, shared by all checkouts."""

    name = "kind"
    node_port: int | None = NODE_PORT
    image_pull_policy = "IfNotPresent"

    def __init__(
        self,
        *,
        ready_seconds: float = _READY_SECONDS,
        unfinished_seconds: float = _UNFINISHED_SECONDS,
    ) -> None:
        """Set the time limits of `up`.

        Args:
            ready_seconds: maximum time until the cluster is ready.
            unfinished_seconds: maximum time until another process continues a partial creation.
        """
        self._node = Node(CLUSTER)
        self._ready_seconds = ready_seconds
        self._unfinished_seconds = unfinished_seconds

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, in the cache."""
        return cache.cache_dir() / "kind" / "kubeconfig"

    @property
    def _mark(self) -> Path:
        """The file that tells a cluster that was created here from one of the same name."""
        return self.kubeconfig.with_name("created")

    def unavailable(self) -> str | None:
        """Return why no Docker engine answers, or None; a client alone is not enough."""
        return docker.unavailable()

    def distant(self) -> str | None:
        """Return why the node's processes are on another machine; None if the engine is here."""
        return None if docker.is_here() else "the Docker engine runs on another or virtual machine"

    def left(self) -> bool:
        """True if the cache has a kubeconfig of the cluster, or its creation was begun here."""
        return self.kubeconfig.exists() or self._mark.exists()

    def binary(self, name: str) -> Path:
        """Build a program if needed, and return its path."""
        return binaries.kubectl() if name == "kubectl" else binaries.installed(name)

    def volume_host_path(self, namespace: str) -> Path | None:
        """Return None, since kind has a storage class."""
        del namespace
        return None

    def up(self) -> None:
        """Start the cluster, or create it if there is none.

        A stopped cluster is started; a starting one is waited for. A cluster that was created here
        and does not answer in the end is created anew, with a message.

        Raises:
            ClusterError: Docker or kind failed, or a cluster that was not created here can't be
                used; the message says what to do.
        """
        with cache.locked("cluster"):
            fault = self._revive()
            if fault is not None:
                if not self._mark.exists():
                    raise self._refusal(fault)
                say(f"the kind cluster {CLUSTER} can't be used: {fault}")
                say("it is deleted and created anew: its jobs and its journal are lost")
                self._delete()
            if self._node.state() is None:
                self._create()
        say(f"the kind cluster runs: KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """Delete the cluster; this needs only the engine."""
        with cache.locked("cluster"):
            self._delete()
        say("the kind cluster is gone")

    def status(self) -> ClusterStatus:
        """Return a status that is running if the cluster is ready."""
        state = self._node.state()
        if state is None:
            word = "there is none"
        elif state != "running":
            word = f"its node is {state}; `make up` starts it"
        elif not self._can_ask():
            word = "its node runs; `make up` makes the programs that ask it for more"
        else:
            word = self._fault(build=False) or "ready"
        return ClusterStatus(word == "ready", [f"kind cluster {CLUSTER}: {word}"])

    def load(self, archive: Path, image: str) -> None:
        """Load the archive into the node, unless the node has the image."""
        # The lock makes one of the workers of a test run load the image for all.
        with cache.locked("load"):
            names = ("docker", "exec", self._node.name, "ctr", "-n", "k8s.io", "images", "ls", "-q")
            if image in run(names).stdout.split():
                return
            say(f"loading {image}")
            kind = binaries.installed("kind")
            run([kind, "load", "image-archive", archive, "--name", CLUSTER], timeout=600)
            if image not in run(names).stdout.split():
                raise ClusterError(f"{archive} holds no image named {image}")

    def _revive(self) -> str | None:
        """Start an existing cluster and wait for it. Return why it is not usable, or None.

        Return None too if there is no cluster.
        """
        state = self._node.state()
        if state is None:
            return None
        if not self._mark.exists() and SERVICE_PORT not in self._node.ports():
            raise self._refusal(f"its node does not publish port {SERVICE_PORT}")
        if state != "running":
            say(f"starting the node of the kind cluster {CLUSTER}, which is {state}")
            if state != "paused":
                network.require_free(self._node.ports(), "the kind cluster's node")
            self._node.start(state)
        return self._awaited()

    def _awaited(self) -> str | None:
        """Wait until the cluster is ready, printing its faults. Return the last fault, or None."""
        heartbeat = Heartbeat("waiting for the kind cluster")
        fault = self._fault()

        def ready() -> bool:
            nonlocal fault
            fault = self._fault()
            if fault is not None:
                heartbeat.beat(fault)
            return fault is None

        def hopeless() -> bool:
            if self._node.state() not in ("running", "restarting"):
                return True
            late = heartbeat.elapsed > self._unfinished_seconds
            return late and not self._node.is_finished()

        if fault is not None:
            processes.wait(ready, self._ready_seconds, hopeless)
        return fault

    def _fault(self, *, build: bool = True) -> str | None:
        """Return why the cluster is not usable, or None; without `build` build no program."""
        state = self._node.state()
        if state != "running":
            return f"its node is {state or 'gone'}"
        if not self._answers() and not (self._export(build=build) and self._answers()):
            finished = self._node.is_finished()
            return "its API server does not answer" if finished else "its creation is not finished"
        conditions = self._kubectl(
            "get", "nodes", '--output=jsonpath={..conditions[?(@.type=="Ready")].status}'
        )
        if set(conditions.split()) != {"True"}:
            return "its node is not ready"
        if not self._kubectl("get", "storageclasses", "--output=name"):
            return "it has no storage class"
        return None

    def _create(self) -> None:
        """Create the cluster, and wait until pods can run.

        Raises:
            ClusterError: kind failed; the message has its output and what to do.
        """
        network.require_free((SERVICE_PORT,), "the kind cluster")
        image = os.environ.get(IMAGE_VARIABLE) or NODE_IMAGE
        had_image = docker.has_image(image)
        config = cache.folder("kind") / "config.json"
        cache.write(config, json.dumps(cluster_config()))
        self.kubeconfig.unlink(missing_ok=True)
        given = {
            "cluster": CLUSTER,
            "config": config,
            "image": image,
            "kind": binaries.installed("kind"),
            "kubeconfig": self.kubeconfig,
            "kubectl": self.binary("kubectl"),
        }
        argv = [sys.executable, str(_CREATOR), *(f"--{name}={it}" for name, it in given.items())]
        self._mark.touch()
        try:
            run_visibly("creating the kind cluster", argv, cwd=config.parent)
        except ClusterError as error:
            # kind deletes the node of a creation that has failed.
            with contextlib.suppress(ClusterError):
                if self._node.state() is None:
                    self._forget()
            raise ClusterError(kind_failures.explained(str(error), image)) from error
        finally:
            if not had_image and docker.has_image(image):
                docker.note_image(image)
        if (fault := self._awaited()) is not None:
            raise ClusterError(
                f"the kind cluster was created, but {fault} after {self._ready_seconds:.0f} s."
                f" `docker exec {self._node.name} journalctl --unit=kubelet` tells more; `make down"
                " up` tries again."
            )

    def _refusal(self, fault: str) -> ClusterError:
        """Forget a cluster that was not created here, and return the error about it."""
        # Else `down` would take it for a cluster that was started here.
        self._forget()
        return ClusterError(
            f"the kind cluster {CLUSTER} was not created here and can't be used: {fault}. It is"
            " left as it is. Mend it, or delete it (`make down CORE4_CLUSTER=kind`), then run"
            " `make up` again."
        )

    def _delete(self) -> None:
        self._node.delete()
        self._forget()

    def _forget(self) -> None:
        self.kubeconfig.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def _can_ask(self) -> bool:
        """True if the programs that ask the cluster are there, and none has to be built first."""
        needed = ["kubectl"] if self.kubeconfig.exists() else ["kubectl", "kind"]
        return all(binaries.built(name) is not None for name in needed)

    def _export(self, *, build: bool) -> bool:
        """Write the kubeconfig of an existing cluster. Return False if that is not possible."""
        kind = binaries.installed("kind") if build else binaries.built("kind")
        if kind is None:
            return False
        cache.folder("kind")
        where = [f"--name={CLUSTER}", f"--kubeconfig={self.kubeconfig}"]
        return run([kind, "export", "kubeconfig", *where], check=False).returncode == 0

    def _answers(self) -> bool:
        # With an empty kubeconfig kubectl would use localhost:8080.
        if not self.kubeconfig.exists() or not self.kubeconfig.stat().st_size:
            return False
        return self._kubectl("get", "--raw", "/readyz").strip() == "ok"

    def _kubectl(self, *arguments: str) -> str:
        """Run kubectl and return its output; empty if it fails."""
        where = [f"--kubeconfig={self.kubeconfig}", "--request-timeout=10s"]
        # Any version does for these questions, so that `status` builds nothing.
        program = binaries.built("kubectl") or self.binary("kubectl")
        answer = run([program, *where, *arguments], check=False)
        return answer.stdout if answer.returncode == 0 else ""
