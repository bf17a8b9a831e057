"""The API's settings, read from the environment once, at start."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from corejob_api.auth.tokens import MOST_AGE
from corejob_process import own_pod
from corejob_process.sockets import EVERYWHERE

_SECRET_BYTES: Final = 32
_MOST_HOURS: Final = 87_600
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the service.

    Attributes:
        namespace: Namespace of the jobs.
        jwt_secret: Key of the tokens' signatures, at least 32 bytes.
        token_most_age: Time after the sign-in by password during which tokens can be renewed.
        store_url: URL of the journal's store.
        users_file: JSON list of the users; None if nobody can sign in.
        cors_origins: Origins that browsers may call from; `*` for any, empty for none.
        health_port: Port of `/healthz`, `/readyz` and `/metrics`, for the cluster only.
        queue_limit: Number of jobs in the queue from which an enqueue is answered 429.
        key_limit: Maximum number of Idempotency-Keys per user and day.
        trusted_proxies: Number of proxies in front that add to `X-Forwarded-For`; 0 to ignore it.
    """

    namespace: str
    jwt_secret: bytes = field(repr=False)
    store_url: str = field(default="sqlite:////var/lib/core4/journal.db", repr=False)
    users_file: Path | None = None
    token_most_age: timedelta = MOST_AGE
    host: str = EVERYWHERE
    port: int = 5001
    health_port: int = 5004
    cors_origins: tuple[str, ...] = ("*",)
    queue_limit: int = 20_000
    key_limit: int = 20_000
    trusted_proxies: int = 0
    log_level: str = "INFO"


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        ValueError: A variable is missing or invalid; the message names it.
        OSError: A file that a variable names can't be read.
    """

    def number(name: str, default: int) -> int:
        text = environ.get(name) or str(default)
        if not text.isdecimal():
            raise ValueError(f"{name} must be a whole number, got {text!r}")
        return int(text)

    users = environ.get("CORE4_USERS_FILE")
    origins = environ.get("CORE4_CORS_ORIGINS", "*")
    return Settings(
        namespace=own_pod.namespace(environ),
        jwt_secret=_jwt_secret(environ),
        store_url=environ.get("CORE4_STORE_URL") or "sqlite:////var/lib/core4/journal.db",
        users_file=Path(users) if users else None,
        token_most_age=_token_most_age(environ),
        host=environ.get("CORE4_HOST") or EVERYWHERE,
        port=number("CORE4_PORT", 5001),
        health_port=number("CORE4_HEALTH_PORT", 5004),
        cors_origins=tuple(text.strip() for text in origins.split(",") if text.strip()),
        queue_limit=number("CORE4_QUEUE_LIMIT", 20_000),
        key_limit=number("CORE4_IDEMPOTENCY_KEY_LIMIT", 20_000),
        trusted_proxies=number("CORE4_TRUSTED_PROXIES", 0),
        log_level=_log_level(environ),
    )


def _token_most_age(environ: Mapping[str, str]) -> timedelta:
    text = environ.get("CORE4_TOKEN_MAX_AGE_HOURS") or str(MOST_AGE // timedelta(hours=1))
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _MOST_HOURS:
        raise ValueError(
            f"CORE4_TOKEN_MAX_AGE_HOURS must be a number from 1 to {_MOST_HOURS}, got {text!r}"
        )
    return timedelta(hours=int(text))


def _log_level(environ: Mapping[str, str]) -> str:
    level = (environ.get("CORE4_LOG_LEVEL") or "INFO").upper()
    if level not in _LEVELS:
        raise ValueError(f"CORE4_LOG_LEVEL must be one of {', '.join(_LEVELS)}, got {level!r}")
    return level


def _jwt_secret(environ: Mapping[str, str]) -> bytes:
    """Return the key of the file, or a random one if no file is set.

    Tokens under a random key end with the process, and are invalid at other replicas.
    """
    path = environ.get("CORE4_JWT_SECRET_FILE")
    if not path:
        return secrets.token_bytes(_SECRET_BYTES)
    secret = Path(path).read_bytes().strip()
    if len(secret) < _SECRET_BYTES:
        raise ValueError(f"CORE4_JWT_SECRET_FILE must hold at least {_SECRET_BYTES} characters")
    return secret
