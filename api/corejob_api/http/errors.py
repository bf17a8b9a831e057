"""Errors that clients see (docs/rest.md, "Errors")."""

import logging
from collections.abc import Mapping
from typing import Final

from corejob_kube.errors import (
    ConflictError,
    InvalidError,
    KubeError,
    QuotaExceededError,
    UnavailableError,
)

log = logging.getLogger(__name__)

_LONGEST: Final = 5000
"""Maximum characters of an error's text, including quoted input."""
CLIENT_GONE: Final = 499
"""Not a status of HTTP: nobody gets this answer, it appears in the metrics only."""
_ROOM_AFTER_S: Final = 10
"""Seconds after which a full quota may have room again."""


class ApiError(Exception):
    """An error answer: an HTTP status, a sentence, and headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = cut(text, _LONGEST)
        self.headers = dict(headers or {})


def cut(text: str, most: int = 1000) -> str:
    """Return a long text without its middle: the error is often at the end."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def bad_request(text: str) -> ApiError:
    """400: an argument is bad or missing."""
    return ApiError(400, text)


def unauthorized(text: str) -> ApiError:
    """401: credentials are missing or wrong."""
    return ApiError(401, text, {"WWW-Authenticate": 'Basic realm="core4"'})


def forbidden(text: str) -> ApiError:
    """403: signed in, but without the permission."""
    return ApiError(403, text)


def job_not_found(job_id: str) -> ApiError:
    """404: there is no such job, or it is not in the queue any more."""
    return ApiError(404, f"job [{job_id}] not found")


def unavailable(text: str, retry_after: float = 2) -> ApiError:
    """503: Kubernetes or the store is unavailable; retry after `retry_after` seconds."""
    return ApiError(503, text, {"Retry-After": str(max(1, round(retry_after)))})


def too_many(text: str) -> ApiError:
    """429: a limit is reached; retry after `_ROOM_AFTER_S` seconds."""
    return ApiError(429, text, {"Retry-After": str(_ROOM_AFTER_S)})


def client_gone() -> ApiError:
    """499: the client has disconnected before it was answered."""
    return ApiError(CLIENT_GONE, "the client has disconnected")


def of_kubernetes(error: KubeError) -> ApiError:
    """Convert an error of the Kubernetes API server to an answer for the client."""
    if isinstance(error, UnavailableError):
        return unavailable(error.message, error.retry_after or 2)
    if isinstance(error, InvalidError):
        return bad_request(error.message)
    if isinstance(error, ConflictError):
        return ApiError(409, error.message)
    if isinstance(error, QuotaExceededError):
        return too_many(error.message)
    log.error("Kubernetes refused a request: %s", error)
    return unavailable(f"Kubernetes refused: {error.message}", 10)
