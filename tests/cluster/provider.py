"""The interface of clusters for the deployment and the tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The state of a cluster: True if it runs, and lines with details for users."""

    running: bool
    lines: Sequence[str]


class Provider(Protocol):
    """A cluster.

    Attributes:
        name: the name for `--provider`.
        node_port: the node port that answers on http://localhost:5001; None if there is none, so
            that a port must be forwarded.
        image_pull_policy: the pull policy for loaded images.
    """

    name: str
    node_port: int | None
    image_pull_policy: str

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of a cluster administrator."""

    def unavailable(self) -> str | None:
        """Return what this provider lacks on this machine; None if it can be used."""

    def left(self) -> bool:
        """True if this machine has anything of the cluster, even if it can't be used now."""

    def distant(self) -> str | None:
        """Return why the pods' processes are not on this machine; None if they are."""

    def up(self) -> None:
        """Start the cluster, or repair it; quick if it runs."""

    def down(self) -> None:
        """Stop the cluster and delete everything of it."""

    def status(self) -> ClusterStatus:
        """Return the cluster's state."""

    def load(self, archive: Path, image: str) -> None:
        """Load an image of an archive into the nodes; quick if they have it."""

    def volume_host_path(self, namespace: str) -> Path | None:
        """Return a folder for a hostPath volume; None if a storage class creates volumes."""

    def binary(self, name: str) -> Path:
        """Return the path of helm, kubectl or kind in a matching version."""
