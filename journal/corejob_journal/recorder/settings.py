"""The recorder's settings, read from the environment once at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from corejob_journal.recorder import retention_policy
from corejob_journal.recorder.retention_policy import Policy
from corejob_journal.store.engine import is_sqlite, parse_url
from corejob_process import own_pod
from corejob_process.sockets import EVERYWHERE

_STORE: Final = "sqlite:////var/lib/core4/journal.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the recorder.

    Attributes:
        namespace: The namespace that is served.
        store_url: URL of the store, which may contain a password.
        identity: Name of this recorder's pod.
        host: Address of the health server.
        port: Port of the health server.
        log_level: Level of the process's own log.
        retention: The retention policy.
    """

    namespace: str
    store_url: str = field(default=_STORE, repr=False)
    identity: str = ""
    host: str = EVERYWHERE
    port: int = 5002
    log_level: str = "INFO"
    retention: Policy = field(default_factory=Policy)

    @property
    def alone(self) -> bool:
        """True if there is never another recorder, since a SQLite file belongs to one pod."""
        return is_sqlite(parse_url(self.store_url))


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings from the environment.

    Raises:
        ValueError: A variable is missing or invalid; the message names it.
    """
    store_url = environ.get("CORE4_STORE_URL") or _STORE
    port = environ.get("CORE4_PORT") or "5002"
    if not port.isdecimal():
        raise ValueError(f"CORE4_PORT must be a whole number, got {port!r}")
    return Settings(
        namespace=own_pod.namespace(environ),
        store_url=store_url,
        identity=own_pod.name(environ),
        host=environ.get("CORE4_HOST") or EVERYWHERE,
        port=int(port),
        log_level=(environ.get("CORE4_LOG_LEVEL") or "INFO").upper(),
        retention=retention_policy.from_environment(environ),
    )
