"""`/meta`: what a client has to know before it signs in."""

from typing import Any, Final

from falcon.asgi import Request, Response

from corejob_api.http import body
from corejob_api.http.envelope import Envelope
from corejob_api.http.paging import MOST_PER_PAGE
from corejob_api.past.cursors import MOST_PER_PAGE as MOST_OF_PAST
from corejob_api.settings import ApiSettings

API_LEVEL: Final = 1
"""Rises when a client of an earlier level would no longer work; the path has it as `v1`."""


class MetaResource:
    """Answers with the version, the namespace, the ways to sign in, and the limits.

    Args:
        settings: The settings.
        version: Version of the service.
        envelope: Writes the answer.
    """

    def __init__(self, settings: ApiSettings, version: str, envelope: Envelope) -> None:
        self._envelope = envelope
        self._data: dict[str, Any] = {
            "version": version,
            "api_level": API_LEVEL,
            "namespace": settings.namespace,
            "sign_in": ["basic", "login", "token"] if settings.users_file else [],
            "limits": {
                "body_bytes": body.MAX_BODY,
                "per_page": MOST_PER_PAGE,
                "per_page_of_journal": MOST_OF_PAST,
                "queue": settings.queue_limit,
                "idempotency_keys": settings.key_limit,
            },
        }

    async def get(self, req: Request, resp: Response) -> None:
        """Answer with the data."""
        self._envelope.answer(req, resp, self._data)
