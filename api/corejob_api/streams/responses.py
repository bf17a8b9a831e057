"""Server-sent-event responses: the arguments of a stream, and its headers."""

import re
from dataclasses import dataclass, replace
from typing import Final

from falcon.asgi import Request, Response

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import Position
from corejob_api.streams.stream import Stream

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
"""With a charset, since `requests` decodes text without one as Latin-1."""
_MEDIA_TYPE: Final = "text/event-stream"
_ARGUMENT: Final = "last_event_id"
_HEADER: Final = "Last-Event-ID"
_POSITION: Final = re.compile(r"(?P<seq>[0-9]{1,18})(?:\.(?P<printed>[0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class LogView:
    """Selection of a job's log by a client, and the position at which to resume.

    Attributes:
        where: Filter of the records.
        ids: True if the client understands ids of frames; clients of the original don't.
        output: True to add what the job printed.
        resume: The last record that the client has; None on its first connection.
    """

    where: LogFilter
    ids: bool
    output: bool
    resume: Position | None

    @classmethod
    def of(cls, req: Request, arguments: Arguments) -> "LogView":
        """Read the arguments and the headers `Accept` and `Last-Event-ID`.

        Raises:
            ApiError: 400, an argument or a header is malformed.
        """
        output = arguments.flag("output", default=False)
        return cls(
            LogFilter.of(arguments),
            _knows_ids(req, arguments),
            output,
            _resume(req, arguments, output=output),
        )

    def from_start(self) -> "LogView":
        """Return the same view without a position, for a log that is new to the client."""
        return replace(self, resume=None)


def respond(resp: Response, stream: Stream) -> None:
    """Answer with a stream.

    It is set as `Response.stream`, since `Response.sse` neither notices the disconnect of an idle
    client nor closes its iterator.
    """
    resp.content_type = CONTENT_TYPE
    # no-transform: a proxy that compresses the stream would delay frames.
    resp.set_header("Cache-Control", "no-cache, no-transform")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = stream


def _knows_ids(req: Request, arguments: Arguments) -> bool:
    resumes = req.get_header(_HEADER) is not None or arguments.raw(_ARGUMENT) is not None
    return resumes or _names_event_stream(req.get_header("Accept") or "")


def _names_event_stream(accept: str) -> bool:
    """Return True if a header `Accept` names the media type explicitly, not only as `*/*`."""
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        if media_type == _MEDIA_TYPE:
            return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: str) -> bool:
    """Return True if a parameter of a media type is `q=0`, that is, not acceptable."""
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip() != "" and not value.strip().strip("0.")


def _resume(req: Request, arguments: Arguments, *, output: bool) -> Position | None:
    text = req.get_header(_HEADER) or arguments.optional_text(_ARGUMENT)
    if not text:
        return None
    match = _POSITION.fullmatch(text)
    if match is None or (match["printed"] and not output):
        raise bad_request("Last-Event-ID expects the id of a frame of this stream")
    printed = match["printed"]
    return Position(int(match["seq"]), int(printed) if printed else None)
