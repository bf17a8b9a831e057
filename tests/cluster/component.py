"""A component of the local cluster: its command line and its readiness check."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import digest


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the cluster.

    Attributes:
        name: name in messages, in the state file and of the log file.
        argv: the command line.
        ready: returns True once the component is ready.
        files: configuration that is read at the start, so that a change needs a restart.
        ports: TCP ports that must be free before it can start.
        seconds: maximum time until it is ready.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    files: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    seconds: float = 120.0

    def fingerprint(self) -> str:
        """Return a hash that changes whenever a running process must be restarted."""
        return digest([*self.argv, *(path.read_bytes() for path in self.files)])


def flags(**values: object) -> tuple[str, ...]:
    """Return command-line flags: data_dir="x" becomes --data-dir=x."""
    return tuple(
        f"--{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in values.items()
    )
