"""Errors of the client: one class for each kind of answer, and for each way to get none.

Each message says what happened, in the server's own words if it answered, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core4.client.results import JobDocument


class Core4Error(Exception):
    """Base of all errors of the client."""


class ConfigurationError(Core4Error):
    """The client doesn't know its server, or can't use its settings."""


# --- answers that are errors ----------------------------------------------------------------------


class ApiError(Core4Error):
    """The server answered with an error.

    Attributes:
        status: HTTP status.
        text: The server's sentence.
        request_id: Id of the request, which the service's log names; None if unknown.
        hint: What to do about it; empty if the sentence says it.
        retry_after: Seconds after which the server wants the request again; None if it didn't say.
        by_core4: True if core4 itself answered, and not a proxy in front of it.
        repeated: True if an earlier attempt of this call may have reached the server.
    """

    hint = ""
    repeated = False

    def __init__(
        self,
        status: int,
        text: str,
        *,
        request_id: str | None = None,
        retry_after: float | None = None,
        by_core4: bool = True,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.request_id = request_id
        self.retry_after = retry_after
        self.by_core4 = by_core4

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.text} ({self.status}{request}){hint}"


class BadRequestError(ApiError):
    """400: an argument is missing or bad.

    Attributes:
        field: The argument or property that the sentence names; None if it names none.
    """

    field: str | None = None


class DuplicateError(BadRequestError):
    """400: a job of the same name and args is in the queue.

    Attributes:
        existing_id: Id of that job; None if it could not be found.
    """

    existing_id: str | None = None

    @property
    def hint(self) -> str:  # type: ignore[override]
        """Advice on what to do about it."""
        job = f"job {self.existing_id}" if self.existing_id else "it"
        return f"follow {job}, or remove {job} if it has stopped"


class NotSignedInError(ApiError):
    """401: the sign-in is missing, wrong or expired."""

    hint = "sign in again, or check token, user and password"


class ForbiddenError(ApiError):
    """403: the user has no permission."""

    hint = "ask an administrator for the permission"


class NotFoundError(ApiError):
    """404: there is no such job, or it is not in the queue any more."""


class NotAllowedError(ApiError):
    """405: the URL doesn't know this method."""

    hint = "compare the versions of client and server"


class TooLargeError(ApiError):
    """413: the request is too long."""

    hint = "put large data elsewhere and pass its place"


class ConflictError(ApiError):
    """409: the job's state doesn't allow it, or the `Idempotency-Key` was used for another job."""


class TooManyError(ApiError):
    """429: the queue or a quota is full, or too many passwords wait to be checked."""

    hint = "try again later"


class UnavailableError(ApiError):
    """408, 502, 503, 504: the service, Kubernetes or the store is away for now."""

    hint = "try again later"


class ServerError(ApiError):
    """500 and other statuses above: a bug of the service, or of a proxy in front of it."""

    hint = "search the service's log for the request"


class UnexpectedAnswerError(ApiError):
    """The answer is not one of core4: a redirect, a page of a proxy, or text that is not JSON."""

    hint = "check the URL"


# --- no answer ------------------------------------------------------------------------------------


class UnreachableError(Core4Error):
    """The server could not be reached, or hung up before it had answered.

    Attributes:
        sent: True if the request may have reached the server, which may have acted on it.
    """

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent

    @classmethod
    def untrusted(cls, where: str, reason: str) -> UnreachableError:
        """Return the error for a server whose certificate can't be verified."""
        text = f"{where} has no certificate that is trusted here ({reason})"
        return cls(f"{text}; name its authority by ca_file", sent=False)

    @classmethod
    def late(cls, where: str, *, sent: bool) -> UnreachableError:
        """Return the error for a server that takes too long."""
        return cls(f"{where} did not answer in time", sent=sent)

    @classmethod
    def lost(cls, where: str, error: Exception, *, sent: bool) -> UnreachableError:
        """Return the error for a connection that could not be made, or was lost."""
        what = "hung up" if sent else "can't be reached"
        return cls(f"{where} {what}: {str(error) or type(error).__name__}", sent=sent)


class DeadlineError(Core4Error, TimeoutError):
    """The time that the caller gave is over. The job goes on."""


class StreamLostError(Core4Error):
    """A stream was cut off and could not be resumed in time. The job goes on.

    Attributes:
        last_event_id: Pass it as `after` to `follow`, to go on without loss; None if nothing came.
    """

    def __init__(self, text: str, last_event_id: str | None) -> None:
        super().__init__(text)
        self.last_event_id = last_event_id


class ProtocolError(StreamLostError):
    """A stream broke its promises again and again: a record is missing or doubled, say."""


# --- the job itself -------------------------------------------------------------------------------


class JobFailedError(Core4Error):
    """The job has ended, and is not complete.

    Attributes:
        document: The job's last document.
    """

    def __init__(self, document: JobDocument) -> None:
        self.document = document
        self.state = "removed" if document.is_removed else document.state
        self.reason = document.reason
        self.message = document.message
        self.last_error = document.last_error
        error = document.last_error
        cause = error.exception if error else document.message
        super().__init__(
            f"job {document.id} ended as {self.state}" + (f": {cause}" if cause else "")
        )
