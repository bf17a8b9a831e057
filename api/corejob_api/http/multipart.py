"""Parse multipart forms (docs/rest.md, "Requests")."""

import io
from typing import Any, Final

from falcon import HTTPError
from falcon.media import MultipartFormHandler
from falcon.media.multipart import BodyPart

from corejob_api.http.arguments import MAX_FIELDS, too_many_fields
from corejob_api.http.errors import ApiError, bad_request

_UNLIMITED: Final = 0
_HEADER: Final = b"content-disposition"
"""Header of each part of a form."""


def fields(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the fields of a multipart form; of a name that comes twice the last.

    A body without any part of a form is no form, whatever its Content-Type: it has no fields.

    Raises:
        ApiError: 400, the form has more than `MAX_FIELDS` fields, or can't be read.
    """
    try:
        return _read(content_type, body)
    except HTTPError as error:
        problem = (error.description or error.title or "it is malformed").rstrip(".")
    except ValueError:
        problem = "the name of a part is not UTF-8"
    # A form that can be read in part only would be a request without arguments that it has.
    if _HEADER in body.lower():
        raise _unreadable(problem)
    return {}


def _read(content_type: str, body: bytes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_count = _UNLIMITED
    handler.parse_options.max_body_part_buffer_size = len(body)
    parts = handler.deserialize(io.BytesIO(body), content_type, len(body))
    for number, part in enumerate(parts, start=1):
        if number > MAX_FIELDS:
            raise too_many_fields()
        _add(values, part)
    return values


def _add(values: dict[str, Any], part: BodyPart) -> None:
    if part.name is not None:
        values[part.name] = part.get_data().decode("utf-8", "replace")


def _unreadable(problem: str) -> ApiError:
    return bad_request(
        f"the multipart form can't be read: {problem}; let your HTTP library write the form and "
        "its Content-Type, or send the arguments as JSON"
    )
