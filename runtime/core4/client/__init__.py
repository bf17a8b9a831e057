"""A client of the job service, which needs nothing but the standard library (docs/client.md).

    from core4.client import Client, Log

    with Client() as core4:
        job = core4.enqueue("reports.Nightly", day="2026-11-26")
        for event in job.follow():
            if isinstance(event, Log):
                print(event.message)
        job.result()

`AsyncClient` is the same for asyncio; it needs aiohttp (`pip install core4-runtime[async]`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core4.client.errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    Core4Error,
    DeadlineError,
    DuplicateError,
    ForbiddenError,
    JobFailedError,
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    ProtocolError,
    ServerError,
    StreamLostError,
    TooLargeError,
    TooManyError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from core4.client.results import (
    CatalogueEntry,
    Close,
    Event,
    Gap,
    JobDocument,
    Lagged,
    Log,
    Meta,
    Page,
    Profile,
    State,
    Trial,
)

if TYPE_CHECKING:
    from core4.client.asynchronous import AsyncClient, AsyncJob
    from core4.client.retry import Retries
    from core4.client.session import Timeouts
    from core4.client.sync import Client, Job

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "BadRequestError",
    "CatalogueEntry",
    "Client",
    "Close",
    "ConfigurationError",
    "ConflictError",
    "Core4Error",
    "DeadlineError",
    "DuplicateError",
    "Event",
    "ForbiddenError",
    "Gap",
    "Job",
    "JobDocument",
    "JobFailedError",
    "Lagged",
    "Log",
    "Meta",
    "NotAllowedError",
    "NotFoundError",
    "NotSignedInError",
    "Page",
    "Profile",
    "ProtocolError",
    "Retries",
    "ServerError",
    "State",
    "StreamLostError",
    "Timeouts",
    "TooLargeError",
    "TooManyError",
    "Trial",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
]

_LATER = {
    "AsyncClient": "asynchronous",
    "AsyncJob": "asynchronous",
    "Client": "sync",
    "Job": "sync",
    "Retries": "retry",
    "Timeouts": "session",
}
"""Names whose modules import HTTP, which is imported by those who use it only."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    try:
        module = import_module(f"core4.client.{_LATER[name]}")
    except ModuleNotFoundError as error:
        if error.name not in {"aiohttp", "yarl"}:
            raise
        raise ImportError(f"{name} needs aiohttp: pip install 'core4-runtime[async]'") from error
    return getattr(module, name)
