"""Exit codes (docs/cli.md): scripts rely on them, so they don't change."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

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
    """Exit codes of all commands.

    Attributes:
        meaning: Its meaning for people, as in docs/cli.md.
    """

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Return the member for a code, with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done; for a followed job: it is complete"
    JOB = (
        1,
        "the job has ended, and is not complete: `error`, `killed`, `inactive`, or removed",
    )
    USAGE = 2, "the command line is wrong, or no server is known"
    REFUSED = 3, "the server says no: bad input, no permission, no such job, a conflict"
    SIGN_IN = 4, "not signed in"
    AWAY = 5, "the server or the network is away, after all retries; a followed job goes on"
    TIMEOUT = 124, "the time of `--timeout` is over; the job goes on"
    INTERRUPTED = 130, "Ctrl-C, or the answer to a question is no; a followed job goes on"
    PIPE = 141, "the reader of stdout has gone, as in `core4 ls | head`; a followed job goes on"


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
