"""A kind cluster, where a Docker engine answers."""

import contextlib
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.cluster import binaries, cache, docker
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import SERVICE_PORT
from tests.cluster.output import say
from tests.cluster.provider import Status

CLUSTER = "core4"
# The image that the pinned kind was released with.
NODE_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
NODE_PORT = 30501


def cluster_config() -> dict[str, Any]:
    """The kind configuration: one node, whose node port is a port of this machine."""
    mapping = {
        "containerPort": NODE_PORT,
        "hostPort": SERVICE_PORT,
        "listenAddress": "127.0.0.1",
    }
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{"role": "control-plane", "extraPortMappings": [mapping]}],
    }


class KindProvider:
    """One kind cluster for the machine, shared by all checkouts."""

    name = "kind"
    node_port: int | None = NODE_PORT
    image_pull_policy = "IfNotPresent"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, in the cache."""
        return cache.folder("kind") / "kubeconfig"

    def unavailable(self) -> str | None:
        """It needs an engine; a Docker client alone is not enough."""
        return docker.unavailable()

    def distant(self) -> str | None:
        """Its node is a container, wherever the engine runs."""
        return None if docker.is_here() else "the Docker engine runs on another or virtual machine"

    def binary(self, name: str) -> Path:
        """A program, built here."""
        return binaries.kubectl() if name == "kubectl" else binaries.installed(name)

    def volume_host_path(self, namespace: str) -> Path | None:
        """None: kind has a storage class."""
        del namespace
        return None

    def up(self) -> None:
        """Create the cluster; one that does not answer is created anew."""
        with cache.locked("cluster"), _inside(cache.folder("kind")):
            if self.kubeconfig.exists() and not self._answers():
                self._cluster.delete()
                self.kubeconfig.unlink(missing_ok=True)
            config = cache.folder("kind") / "config.json"
            cache.write(config, json.dumps(cluster_config()))
            self._cluster.create(config)
            if not self._answers():
                raise ClusterError("the kind cluster does not answer; try `down`, then `up`")
        say(f"the kind cluster runs: KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """Delete the cluster."""
        with cache.locked("cluster"), _inside(cache.folder("kind")):
            self._cluster.delete()
            self.kubeconfig.unlink(missing_ok=True)
        say("the kind cluster is gone")

    def status(self) -> Status:
        """Whether it answers."""
        answers = self.kubeconfig.exists() and self._answers()
        return Status(answers, [f"kind cluster {CLUSTER}: {'ready' if answers else 'not running'}"])

    def load(self, archive: Path, image: str) -> None:
        """Load the archive into the node, unless the image is there."""
        node = f"{CLUSTER}-control-plane"
        there = run(["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q"])
        if image not in there.stdout.split():
            say(f"loading {image}")
            kind = binaries.installed("kind")
            run([kind, "load", "image-archive", archive, "--name", CLUSTER], timeout=600)

    @cached_property
    def _cluster(self) -> Any:
        try:
            from pytest_kind import KindCluster  # type: ignore[import-untyped]
        except ImportError as error:
            raise ClusterError("pytest-kind is missing: run `make venv`") from error
        return KindCluster(
            CLUSTER,
            kubeconfig=self.kubeconfig,
            image=NODE_IMAGE,
            kind_path=binaries.installed("kind"),
            kubectl_path=self.binary("kubectl"),
        )

    def _answers(self) -> bool:
        argv = [
            str(self.binary("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            "get",
            "--raw",
            "/readyz",
        ]
        return run(argv, check=False).returncode == 0


@contextlib.contextmanager
def _inside(place: Path) -> Iterator[None]:
    """pytest-kind makes a folder in the working directory, which is not to be the checkout."""
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)
