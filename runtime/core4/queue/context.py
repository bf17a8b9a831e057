"""The context of a job's run, and the destination of its reports.

`Reports` has three implementations: one that discards (for a job object in an author's unit test),
the protocol (in a pod) and a terminal (`core4 execute`).
"""

from __future__ import annotations

from core4.error import JobDefinitionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any


class Reports:
    """Accepts the reports of a job; this base class discards those of a job outside any run."""

    def logger(self, name: str) -> logging.Logger:
        """Return the logger of the job: here a standard one, so that test tools can capture it."""
        import logging  # noqa: PLC0415 - only when needed

        return logging.getLogger(name)

    def progress(self, value: float, message: str) -> None:
        """Report the progress, from 0 to 1."""

    def source(self, name: str) -> None:
        """Report the base name of a source that the job works on."""

    def cookie(self, key: str, value: Any) -> None:
        """Report a change in the key-value store; a value of None deletes the key."""


class JobContext:
    """The job's JSON (see the job protocol) as typed attributes, and the job's reports."""

    __slots__ = (
        "args",
        "attempts",
        "attempts_left",
        "cookie",
        "defer_max",
        "defer_until",
        "enqueued",
        "identifier",
        "progress_interval",
        "qual_name",
        "reports",
        "sources",
        "trial",
        "username",
    )

    def __init__(self, document: dict[str, Any], reports: Reports | None = None) -> None:
        self.reports = reports or Reports()
        self.identifier: str | None = document.get("id")
        self.qual_name: str = _get(document, "qualName", str, "")
        self.args: dict[str, Any] = _get(document, "args", dict, {})
        self.trial: int = _get(document, "trial", int, 1)
        self.attempts: int = _get(document, "attempts", int, 1)
        self.attempts_left: int = _get(document, "attemptsLeft", int, self.attempts)
        self.progress_interval: int | None = _get(
            document, "progressIntervalSeconds", (int, float), None
        )
        self.defer_until: str | None = document.get("deferUntil")
        self.defer_max: float = _get(document, "deferMaxSeconds", (int, float), 3600)
        self.enqueued: dict[str, Any] = _get(document, "enqueued", dict, {})
        self.username: str | None = document.get("username")
        self.cookie: dict[str, Any] = _get(document, "cookie", dict, {})
        self.sources: dict[str, None] = dict.fromkeys(_get(document, "sources", list, []))


def _get(document: dict[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """Return a value of the job's JSON, or the default if it is absent or null.

    Raises:
        JobDefinitionError: The value has the wrong type.
    """
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise JobDefinitionError(f"bad job description: [{key}] is {value!r}")
    return value
