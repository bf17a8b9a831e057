"""What every kind of cluster offers to the deployment and to the tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a cluster runs, and details for a person."""

    running: bool
    lines: Sequence[str]


class Provider(Protocol):
    """A cluster.

    Attributes:
        name: as in `--provider`.
        node_port: the node port that answers on http://localhost:5001; None if there is none, and
            a port must be forwarded.
        image_pull_policy: for images that were loaded.
    """

    name: str
    node_port: int | None
    image_pull_policy: str

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of a cluster administrator."""

    def unavailable(self) -> str | None:
        """What this provider lacks on this machine; None if it can be used."""

    def left(self) -> bool:
        """Whether this machine has anything of it, whether it can be used now or not."""

    def distant(self) -> str | None:
        """Why the pods' processes are not among this machine's; None if they are."""

    def up(self) -> None:
        """Start the cluster, or repair it; quick if it runs."""

    def down(self) -> None:
        """Stop it and take everything away."""

    def status(self) -> Status:
        """Whether it runs."""

    def load(self, archive: Path, image: str) -> None:
        """Make an image of an archive known to the nodes; quick if it is already."""

    def volume_host_path(self, namespace: str) -> Path | None:
        """A folder for a hostPath volume; None where a storage class makes the volumes."""

    def binary(self, name: str) -> Path:
        """The program helm, kubectl or kind, in the version that fits."""
