"""Errors that clients get to see (contract section 1)."""

from collections.abc import Mapping


class ApiError(Exception):
    """An error answer: an HTTP status, a sentence, and headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


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
