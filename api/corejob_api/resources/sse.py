"""Answers that are streams."""

from dataclasses import dataclass

from falcon.asgi import Request, Response

from corejob_api.arguments import Arguments
from corejob_api.errors import bad_request
from corejob_api.query.logfilter import LogFilter
from corejob_api.streams.stream import Stream

_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class View:
    """What a client wants to see of a job's log, and what it has seen.

    Attributes:
        where: Which records.
        resume: Number of the last record that it has; None if it has not been there before.
    """

    where: LogFilter
    resume: int | None

    @classmethod
    def of(cls, req: Request, arguments: Arguments) -> "View":
        """As the arguments and the header `Last-Event-ID` say.

        Raises:
            ApiError: 400, one of them is bad.
        """
        return cls(LogFilter.of(arguments), _resume(req, arguments))

    def anew(self) -> "View":
        """The same of a log that the client can't know yet."""
        return View(self.where, None)


def respond(resp: Response, stream: Stream) -> None:
    """Answer with a stream.

    As `Response.stream`, not `Response.sse`: that one neither notices that an idle client has gone,
    nor closes what it iterates over.
    """
    resp.content_type = "text/event-stream"
    resp.set_header("Cache-Control", "no-cache")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = stream


def _resume(req: Request, arguments: Arguments) -> int | None:
    text = req.get_header("Last-Event-ID") or arguments.optional_text("last_event_id")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise bad_request("Last-Event-ID expects the id of a frame of this stream")
    return int(text)
