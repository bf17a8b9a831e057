"""Errors that clients get to see (contract section 1)."""

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
"""Characters of an error's text, whatever it quotes."""
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
    """A text that may quote much, without its middle: what is wrong often stands at the end."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def bad_request(text: str) -> ApiError:
    """400: an argument is bad or missing."""
    return ApiError(400, text)


def unauthorized(text: str) -> ApiError:
    """401: nobody, or not who they say they are."""
    return ApiError(401, text, {"WWW-Authenticate": 'Basic realm="core4"'})


def forbidden(text: str) -> ApiError:
    """403: signed in, but without the permission."""
    return ApiError(403, text)


def job_not_found(job_id: str) -> ApiError:
    """404: there is no such job, or it is not in the queue any more."""
    return ApiError(404, f"job [{job_id}] not found")


def unavailable(text: str, retry_after: float = 2) -> ApiError:
    """503: Kubernetes or the store is away; try again."""
    return ApiError(503, text, {"Retry-After": str(max(1, round(retry_after)))})


def too_many(text: str) -> ApiError:
    """429: there is no room for another job; try again later."""
    return ApiError(429, text, {"Retry-After": str(_ROOM_AFTER_S)})


def of_kubernetes(error: KubeError) -> ApiError:
    """What a client gets to know of a refusal of the API server's."""
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
