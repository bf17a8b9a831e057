"""What the Kubernetes API server may answer, as exceptions."""


class KubeError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status code. `reason`: the machine-readable word of its `Status` object.
        retry_after: Seconds to wait, where the server said so.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFoundError(KubeError):
    """404: there is no such object."""


class ConflictError(KubeError):
    """409: it exists already, or it changed since it was read."""


class GoneError(KubeError):
    """410: the resource version is too old; list anew."""


class InvalidError(KubeError):
    """400 or 422: the object breaks its schema or a validation rule."""


class UnavailableError(KubeError):
    """The API server is away or overloaded (429, 5xx, or no answer at all): try again."""


def for_status(
    status: int, reason: str, message: str, retry_after: float | None = None
) -> KubeError:
    """The exception for an HTTP status code."""
    kinds: dict[int, type[KubeError]] = {
        400: InvalidError,
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        422: InvalidError,
        429: UnavailableError,
    }
    kind = UnavailableError if status >= 500 else kinds.get(status, KubeError)
    return kind(status, reason, message, retry_after)
