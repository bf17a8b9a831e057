"""Answers that are streams."""

from dataclasses import dataclass, replace
from typing import Final

from falcon.asgi import Request, Response

from corejob_api.arguments import Arguments
from corejob_api.errors import bad_request
from corejob_api.query.logfilter import LogFilter
from corejob_api.streams.stream import Stream

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
"""Without a charset `requests` takes text for Latin-1."""
_MEDIA_TYPE: Final = "text/event-stream"
_ARGUMENT: Final = "last_event_id"
_HEADER: Final = "Last-Event-ID"
_MAX_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class View:
    """What a client wants to see of a job's log, and what it has seen.

    Attributes:
        where: Which records.
        ids: Whether it knows ids of frames: clients of the original do not.
        resume: Number of the last record that it has; None if it has not been there before.
    """

    where: LogFilter
    ids: bool
    resume: int | None

    @classmethod
    def of(cls, req: Request, arguments: Arguments) -> "View":
        """As the arguments and the headers `Accept` and `Last-Event-ID` say.

        Raises:
            ApiError: 400, one of them is bad.
        """
        return cls(LogFilter.of(arguments), _knows_ids(req, arguments), _resume(req, arguments))

    def anew(self) -> "View":
        """The same of a log that the client can't know yet."""
        return replace(self, resume=None)


def respond(resp: Response, stream: Stream) -> None:
    """Answer with a stream.

    As `Response.stream`, not `Response.sse`: that one neither notices that an idle client has gone,
    nor closes what it iterates over.
    """
    resp.content_type = CONTENT_TYPE
    # A proxy that compresses what it passes on would hold frames back.
    resp.set_header("Cache-Control", "no-cache, no-transform")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = stream


def _knows_ids(req: Request, arguments: Arguments) -> bool:
    resumes = req.get_header(_HEADER) is not None or arguments.raw(_ARGUMENT) is not None
    return resumes or _names_event_stream(req.get_header("Accept") or "")


def _names_event_stream(accept: str) -> bool:
    """Whether a header `Accept` has the media type itself, which `*/*` does not name."""
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        if media_type == _MEDIA_TYPE:
            return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    """Whether a parameter of a media type is `q=0`: not acceptable."""
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip() != "" and not value.strip().strip("0.")


def _resume(req: Request, arguments: Arguments) -> int | None:
    text = req.get_header(_HEADER) or arguments.optional_text(_ARGUMENT)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise bad_request("Last-Event-ID expects the id of a frame of this stream")
    return int(text)
