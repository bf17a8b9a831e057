"""The container that is the node of a kind cluster.

This module uses only the Docker engine, so that it works without kind, without Go and outside the
virtual environment.
"""

import json
from dataclasses import dataclass

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError

# kind's label of all containers of a cluster.
_LABEL = "io.x-k8s.kind.cluster"
_ADMIN = "/etc/kubernetes/admin.conf"
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Node:
    """The control plane's container of a kind cluster."""

    cluster: str

    @property
    def name(self) -> str:
        """The container's name, as kind assigns it."""
        return f"{self.cluster}-control-plane"

    def state(self) -> str | None:
        """Return the container's Docker state (`running`, `exited`, …), or None."""
        where = ["--filter", f"label={_LABEL}={self.cluster}", "--filter", f"name=^/?{self.name}$"]
        states = run(["docker", "ps", "--all", *where, "--format", "{{.State}}"]).stdout.split()
        return states[0] if states else None

    def ports(self) -> tuple[int, ...]:
        """Return the ports of this machine that the container uses while it runs."""
        shown = run(
            ["docker", "inspect", "--format", "{{json .HostConfig.PortBindings}}", self.name]
        ).stdout
        bindings = (json.loads(shown) or {}).values()
        numbers = [row.get("HostPort") for rows in bindings for row in rows or ()]
        return tuple(int(number) for number in numbers if number and number != "0")

    def start(self, state: str) -> None:
        """Start or unpause the container.

        Args:
            state: the present state.

        Raises:
            ClusterError: the engine can't start it; the message has the engine's output.
        """
        verb = "unpause" if state == "paused" else "start"
        try:
            run(["docker", verb, self.name], timeout=_START_SECONDS)
        except ClusterError as error:
            raise ClusterError(
                f"Docker can't {verb} the kind cluster's node; the cluster and its journal are left"
                f" as they are. Mend the cause and run `make up` again, or give the cluster up with"
                f" `make down`.\n{error}"
            ) from error

    def is_finished(self) -> bool:
        """False if the cluster's creation was interrupted and no process continues it."""
        if run(["docker", "exec", self.name, "test", "-e", _ADMIN], check=False).returncode == 0:
            return True
        return "kubeadm" in run(["docker", "top", self.name], check=False).stdout

    def delete(self) -> None:
        """Delete the cluster's containers with their volumes."""
        listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label={_LABEL}={self.cluster}"]
        if found := run(listed).stdout.split():
            run(["docker", "rm", "--force", "--volumes", *found], timeout=_START_SECONDS)
