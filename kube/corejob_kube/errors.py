"""Error answers of the Kubernetes API server as exceptions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_NO_DETAILS: Final[Mapping[str, Any]] = MappingProxyType({})

_CONTENDED_QUOTA: Final = "Operation cannot be fulfilled on resourcequotas"
_FULL_QUOTA: Final = ("exceeded quota:", "status unknown for quota:")
_WEBHOOK: Final = "admission webhook "
"""Prefix of a webhook's message; the webhook can choose code, reason and causes, but not this."""
_ALREADY_EXISTS: Final = "AlreadyExists"


class KubeError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status code. `reason`: the machine-readable reason of its `Status` object.
        retry_after: Seconds to wait before a retry, if the server sent them; else None.
        details: `details` of its `Status` object (metav1.StatusDetails): name, kind, causes.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        details: Mapping[str, Any] = _NO_DETAILS,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.details = details

    @property
    def by_webhook(self) -> bool:
        """True if an admission webhook refused the request, with any status and reason."""
        return _is_by_webhook(self.message)


class NotFoundError(KubeError):
    """404: the object does not exist."""


class ConflictError(KubeError):
    """409: the object exists already or has changed since it was read, or a webhook answers 409."""


class AlreadyExistsError(ConflictError):
    """409 of a create: an object of this name exists. No other 409 means that."""


class QuotaExceededError(KubeError):
    """403: a ResourceQuota has no room for one more object."""


class GoneError(KubeError):
    """410: the resource version is too old; list again."""


class InvalidError(KubeError):
    """400 or 422: the object breaks its schema or a validation rule."""


class UnavailableError(KubeError):
    """The API server is unavailable or overloaded (429, 5xx, or no answer at all): retry."""


class QuotaContendedError(UnavailableError):
    """409 of a create: too many concurrent requests update a ResourceQuota; nothing was created."""


def for_status(
    status: int,
    reason: str,
    message: str,
    retry_after: float | None = None,
    details: Mapping[str, Any] = _NO_DETAILS,
) -> KubeError:
    """Return the exception for an error answer of the API server."""
    return _kind(status, reason, message)(status, reason, message, retry_after, details)


def _kind(status: int, reason: str, message: str) -> type[KubeError]:
    if status >= 500:
        return UnavailableError
    if status == 409:
        return _kind_of_conflict(reason, message)
    if status == 403 and any(words in message for words in _FULL_QUOTA):
        return QuotaExceededError
    kinds: dict[int, type[KubeError]] = {
        400: InvalidError,
        404: NotFoundError,
        410: GoneError,
        422: InvalidError,
        429: UnavailableError,
    }
    return kinds.get(status, KubeError)


def _kind_of_conflict(reason: str, message: str) -> type[KubeError]:
    if message.startswith(_CONTENDED_QUOTA):
        return QuotaContendedError
    exists = reason == _ALREADY_EXISTS and not _is_by_webhook(message)
    return AlreadyExistsError if exists else ConflictError


def _is_by_webhook(message: str) -> bool:
    return message.startswith(_WEBHOOK)
