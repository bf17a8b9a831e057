"""The API's settings, read from the environment once, at start."""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from corejob_api.auth.tokens import MOST_AGE
from corejob_process import own_pod
from corejob_process.settings import log_level, setting, whole_number
from corejob_process.sockets import EVERYWHERE

_SECRET_BYTES: Final = 32
_MOST_HOURS: Final = 87_600


def _random_secret() -> bytes:
    """Return a random key: tokens under it end with the process, and are invalid at replicas."""
    return secrets.token_bytes(_SECRET_BYTES)


def _secret_in(path: str) -> bytes:
    secret = Path(path).read_bytes().strip()
    if len(secret) < _SECRET_BYTES:
        raise ValueError(f"must name a file of at least {_SECRET_BYTES} characters")
    return secret


def _hours(text: str) -> timedelta:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _MOST_HOURS:
        raise ValueError(f"must be a number from 1 to {_MOST_HOURS}")
    return timedelta(hours=int(text))


def _origins(text: str) -> tuple[str, ...]:
    return tuple(origin.strip() for origin in text.split(",") if origin.strip())


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API.

    Attributes:
        namespace: Namespace of the jobs.
        jwt_secret: Key of the tokens' signatures, at least 32 bytes.
        store_url: URL of the journal's store, which may contain a password.
        users_file: JSON list of the users; None if nobody can sign in.
        token_most_age: Time after the sign-in by password during which tokens can be renewed.
        host: Address of the API and of the health server.
        port: Port of the API.
        health_port: Port of `/healthz`, `/readyz` and `/metrics`, for the cluster only.
        cors_origins: Origins that browsers may call from; `*` for any, empty for none.
        queue_limit: Number of jobs in the queue from which an enqueue is answered 429.
        key_limit: Maximum number of Idempotency-Keys per user and day.
        trusted_proxies: Number of proxies in front that add to `X-Forwarded-For`; 0 to ignore it.
        pod_name: Name of this process's pod; empty outside a pod.
        replica_selector: Label selector of the API's pods; empty if there may be others anywhere.
        log_level: Level of the process's own log.
    """

    namespace: str = setting("CORE4_NAMESPACE", default_factory=own_pod.namespace)
    jwt_secret: bytes = setting(
        "CORE4_JWT_SECRET_FILE", _secret_in, default_factory=_random_secret, repr=False
    )
    store_url: str = setting(
        "CORE4_STORE_URL", default="sqlite:////var/lib/core4/journal.db", repr=False
    )
    users_file: Path | None = setting("CORE4_USERS_FILE", Path, default=None)
    token_most_age: timedelta = setting("CORE4_TOKEN_MAX_AGE_HOURS", _hours, default=MOST_AGE)
    host: str = setting("CORE4_HOST", default=EVERYWHERE)
    port: int = setting("CORE4_PORT", whole_number, default=5001)
    health_port: int = setting("CORE4_HEALTH_PORT", whole_number, default=5004)
    cors_origins: tuple[str, ...] = setting(
        "CORE4_CORS_ORIGINS", _origins, default=("*",), keep_empty=True
    )
    queue_limit: int = setting("CORE4_QUEUE_LIMIT", whole_number, default=20_000)
    key_limit: int = setting("CORE4_IDEMPOTENCY_KEY_LIMIT", whole_number, default=20_000)
    trusted_proxies: int = setting("CORE4_TRUSTED_PROXIES", whole_number, default=0)
    pod_name: str = setting("CORE4_POD_NAME", default="")
    replica_selector: str = setting("CORE4_REPLICA_SELECTOR", default="")
    log_level: str = setting("CORE4_LOG_LEVEL", log_level, default="INFO")
