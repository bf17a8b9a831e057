"""A component of the local cluster: what is started, and how it shows that it is ready."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import digest


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the cluster.

    Attributes:
        name: what the user, the state file and the log file call it.
        argv: the command line.
        ready: asks it.
        files: configuration that is read at the start, so a change of it means a restart.
        ports: TCP ports that must be free before it can start.
        seconds: how long it may take.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    files: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    seconds: float = 120.0

    def fingerprint(self) -> str:
        """Changes whenever a running process would have to be started anew."""
        return digest([*self.argv, *(path.read_bytes() for path in self.files)])


def flags(**values: object) -> tuple[str, ...]:
    """Command-line flags: data_dir="x" becomes --data-dir=x."""
    return tuple(
        f"--{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in values.items()
    )
