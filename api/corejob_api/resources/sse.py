"""Answers that are streams."""

from falcon.asgi import Request, Response

from corejob_api.arguments import Arguments
from corejob_api.errors import bad_request
from corejob_api.streams.stream import Stream

_MAX_DIGITS = 18


def respond(resp: Response, stream: Stream) -> None:
    """Answer with a stream.

    As `Response.stream`, not `Response.sse`: that one neither notices that an idle client has gone,
    nor closes what it iterates over.
    """
    resp.content_type = "text/event-stream"
    resp.set_header("Cache-Control", "no-cache")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = stream


def resume(req: Request, arguments: Arguments) -> int:
    """Number of the last record that the client has: `Last-Event-ID`, or `last_event_id`.

    Raises:
        ApiError: 400, it is no number of ours.
    """
    text = req.get_header("Last-Event-ID") or arguments.optional_text("last_event_id") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise bad_request("Last-Event-ID expects the id of a frame of this stream")
    return int(text)
