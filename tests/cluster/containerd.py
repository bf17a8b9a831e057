"""A client of containerd, through its ctr program."""

from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError

_NAMESPACE = "k8s.io"


class Containerd:
    """A containerd, named by its socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def answers(self) -> bool:
        """True if containerd runs and answers."""
        if not self._socket.exists():
            return False
        try:
            return self._ctr("version", check=False, timeout=5) is not None
        except ClusterError:
            return False

    def images(self) -> list[str]:
        """Return the names of the images."""
        return (self._ctr("images", "ls", "-q") or "").split()

    def load(self, archive: Path) -> None:
        """Import an image archive."""
        self._ctr("images", "import", str(archive), timeout=600)

    def _ctr(self, *arguments: str, check: bool = True, timeout: float = 60) -> str | None:
        argv = ["ctr", "--address", str(self._socket), "--namespace", _NAMESPACE, *arguments]
        result = run(argv, check=check, timeout=timeout)
        return result.stdout if result.returncode == 0 else None
