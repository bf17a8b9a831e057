"""Exit codes (docs/cli.md): scripts rely on them, so they don't change."""

from __future__ import annotations

from enum import IntEnum

from core4.client.errors import (
    ConfigurationError,
    Core4Error,
    DeadlineError,
    JobFailedError,
    NotSignedInError,
    ServerError,
    StreamLostError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)


class Exit(IntEnum):
    """Exit codes of all commands."""

    OK = 0
    """Done; for a followed job: it is complete."""
    JOB = 1
    """The job has ended, and is not complete: error, killed, inactive or removed."""
    USAGE = 2
    """The command line is wrong, or no server is known."""
    REFUSED = 3
    """The server says no: bad input, no permission, no such job, a conflict."""
    SIGN_IN = 4
    """Not signed in."""
    AWAY = 5
    """The server or the network is away, after all retries; a followed job goes on."""
    TIMEOUT = 124
    """The time of `--timeout` is over; the job goes on."""
    INTERRUPTED = 130
    """Ctrl-C; a followed job goes on."""
    PIPE = 141
    """The reader of stdout has gone, as in `core4 ls | head`; a followed job goes on."""


def of(error: Core4Error) -> Exit:
    """Return the exit code for an error of the client."""
    match error:
        case JobFailedError():
            return Exit.JOB
        case ConfigurationError():
            return Exit.USAGE
        case DeadlineError():
            return Exit.TIMEOUT
        case NotSignedInError():
            return Exit.SIGN_IN
        case UnavailableError() | ServerError() | UnexpectedAnswerError():
            return Exit.AWAY
        case UnreachableError() | StreamLostError():
            return Exit.AWAY
    return Exit.REFUSED
