"""The recorder's settings, read from the environment once, at start."""

from dataclasses import dataclass, field

from corejob_journal.recorder.retention_policy import RetentionPolicy
from corejob_journal.store.engine import is_sqlite, parse_url
from corejob_process import own_pod
from corejob_process.settings import log_level, setting, whole_number
from corejob_process.sockets import EVERYWHERE


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Settings of the recorder.

    Attributes:
        namespace: The namespace that is served.
        store_url: URL of the store, which may contain a password.
        identity: Name of this recorder's pod.
        host: Address of the health server.
        port: Port of the health server.
        log_level: Level of the process's own log.
        retention: The retention policy.
    """

    namespace: str = setting("CORE4_NAMESPACE", default_factory=own_pod.namespace)
    store_url: str = setting(
        "CORE4_STORE_URL", default="sqlite:////var/lib/core4/journal.db", repr=False
    )
    identity: str = setting("CORE4_POD_NAME", default_factory=own_pod.hostname)
    host: str = setting("CORE4_HOST", default=EVERYWHERE)
    port: int = setting("CORE4_PORT", whole_number, default=5002)
    log_level: str = setting("CORE4_LOG_LEVEL", log_level, default="INFO")
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    @property
    def alone(self) -> bool:
        """True if there is never another recorder, since a SQLite file belongs to one pod."""
        return is_sqlite(parse_url(self.store_url))
