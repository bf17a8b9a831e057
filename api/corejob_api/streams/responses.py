"""Server-sent-event responses: the arguments of a stream, and its headers."""

import re
from dataclasses import dataclass, replace
from typing import Final

from falcon.asgi import Request, Response

from corejob_api.http import accept
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import bad_request
from corejob_api.query.log_filter import LogFilter
from corejob_api.query.log_rows import Position
from corejob_api.streams.stream import Stream

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
"""With a charset, since `requests` decodes text without one as Latin-1."""
_MEDIA_TYPE: Final = "text/event-stream"
LAST_ID: Final = "last_event_id"
VIEW: Final = ("level", "grep", "since", "trial", "tail", "output", LAST_ID)
"""The arguments of a stream."""
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
    resumes = req.get_header(_HEADER) is not None or arguments.raw(LAST_ID) is not None
    return resumes or accept.names(req.get_header("Accept") or "", _MEDIA_TYPE)


def _resume(req: Request, arguments: Arguments, *, output: bool) -> Position | None:
    text = req.get_header(_HEADER) or arguments.optional_text(LAST_ID)
    if not text:
        return None
    match = _POSITION.fullmatch(text)
    if match is None or (match["printed"] and not output):
        raise bad_request("Last-Event-ID expects the id of a frame of this stream")
    printed = match["printed"]
    return Position(int(match["seq"]), int(printed) if printed else None)
