"""A call of the server: sign in, send, repeat what is safe to repeat, until a deadline."""

from __future__ import annotations

import random as _random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from core4 import __version__
from core4.client import answers, requests
from core4.client.credentials import Credential
from core4.client.effects import Program, open_stream, send, sleep
from core4.client.errors import (
    ApiError,
    Core4Error,
    DeadlineError,
    NotSignedInError,
    UnreachableError,
)
from core4.client.requests import Request, Response
from core4.client.retry import Random, Retries

USER_AGENT: Final = (
    f"core4-client/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
)
_HEADERS: Final = {
    "Accept": "application/json",
    # A compressed stream would arrive late.
    "Accept-Encoding": "identity",
    "User-Agent": USER_AGENT,
}
_SUCCESSOR: Final = "token"
"""Header with the successor of a token that is about to expire."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        connect: To connect to the server.
        read: Without a byte of an answer.
        total: Of one answer as a whole; streams are not limited.
        stream: Without a byte of a stream, which has a keep-alive at least every 15 s.
    """

    connect: float = 5.0
    read: float = 30.0
    total: float = 120.0
    stream: float = 45.0


@dataclass(slots=True)
class Session:
    """State that all calls of a client share.

    Attributes:
        credential: How requests are signed.
        timeouts: Limits.
        retries: What is repeated.
        now: A monotonic clock, in seconds.
        random: Source of the jitter.
        has_answered: True once the server has given a good answer, so that it is the right one.
    """

    credential: Credential
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    now: Callable[[], float] = time.monotonic
    random: Random = _random.random
    has_answered: bool = False

    def deadline(self, timeout: float | None) -> float:
        """Return the time at which a timeout ends; infinity for None."""
        return inf if timeout is None else self.now() + timeout

    def left(self, deadline: float, most: float) -> float:
        """Return the seconds until a deadline, at most `most`.

        Raises:
            DeadlineError: It has passed.
        """
        left = deadline - self.now()
        if left <= 0:
            raise DeadlineError("the time for this call is over")
        return min(left, most)


def call(
    session: Session,
    request: Request,
    *,
    deadline: float = inf,
    stream: bool = False,
    once: bool = False,
) -> Program[Response]:
    """Send a request, and again if that is safe. Return the response if it is a good one.

    Args:
        session: The client's session.
        request: The request.
        deadline: Time at which the caller wants to have an answer, of the session's clock.
        stream: True to leave the body of the response open.
        once: True to leave repetitions, except for a new sign-in, to the caller.

    Raises:
        Core4Error: The last failure.
    """
    failed, refused, unsure = 0, False, False
    failure: Core4Error
    while True:
        token = (yield from _token(session, deadline)) if request.signed else None
        try:
            return (yield from _attempt(session, request, token, deadline, stream=stream))
        except NotSignedInError:
            if refused or not request.signed or not session.credential.refused(token):
                raise
            refused = True
            continue
        except Core4Error as error:
            failed, failure = failed + 1, error
        _annotate(failure, repeated=unsure)
        unsure = unsure or _may_have_acted(failure)
        pause = session.retries.again(
            failed, failure, repeatable=request.repeatable, random=session.random
        )
        if session.now() + (pause or 0) >= deadline and not _is_verdict(failure):
            raise DeadlineError(f"the time for this call is over: {failure}") from failure
        if pause is None or once:
            raise failure
        yield from sleep(pause)
        refused = False


def _attempt(
    session: Session, request: Request, token: str | None, deadline: float, *, stream: bool
) -> Program[Response]:
    signed = replace(request, headers={**_HEADERS, **request.headers})
    if token is not None:
        signed = signed.with_headers(Authorization=f"Bearer {token}")
    seconds = session.left(deadline, session.timeouts.total)
    response = yield from (open_stream if stream else send)(signed, seconds)
    if stream:
        answers.check_stream(response)
    else:
        answers.envelope(response)
    session.has_answered = True
    successor = response.headers.get(_SUCCESSOR)
    if successor and request.signed:
        session.credential.renew(successor)
    return response


def _token(session: Session, deadline: float) -> Program[str | None]:
    """Return the token for a request; sign in for it if need be."""
    credential = session.credential
    token = credential.token()
    basic = credential.basic() if token is None else None
    if basic is None:
        return token
    response = yield from call(session, requests.login(basic), deadline=deadline)
    token = str(answers.data(response)["token"])
    credential.renew(token)
    return token


def _annotate(error: Core4Error, *, repeated: bool) -> None:
    if isinstance(error, ApiError):
        error.repeated = repeated


def _may_have_acted(error: Core4Error) -> bool:
    if isinstance(error, ApiError):
        return not error.by_core4
    return isinstance(error, UnreachableError) and error.sent


def _is_verdict(error: Core4Error) -> bool:
    """Return True for an answer that more time would not change."""
    return isinstance(error, ApiError) and error.status < 500 and error.status not in {408, 429}
