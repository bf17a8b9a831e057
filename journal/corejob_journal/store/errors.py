"""Errors of the store, and their translation from the drivers' errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc


class StoreError(Exception):
    """Base class of the store's errors."""


class StoreUnavailable(StoreError):  # noqa: N818  # names a condition that callers wait out
    """The database is away, locked, full, or has no tables yet; a retry may succeed."""


class SchemaError(StoreError):
    """A later version of this program migrated the database."""


class ForeignJobError(StoreError):
    """The log or the document stored under a job id belongs to another CoreJob or to a past job."""


_NO_TABLE = frozenset({"UndefinedTable", "InvalidCatalogName"})


_FULL: Final = frozenset({"SQLITE_FULL", "DiskFull"})
_LOCKED: Final = "SQLITE_BUSY"


def _told(error: exc.DBAPIError) -> str:
    """Return a message that says what is wrong and, where that is clear, what to do about it."""
    detail = " ".join(str(error.orig).split())
    # SQLite's error name, or psycopg's class for PostgreSQL's SQLSTATE.
    name = getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
    if name in _FULL:
        return f"the store is full, make room on its volume ({detail})"
    if name.startswith(_LOCKED):
        return f"another program keeps the store locked, end it ({detail})"
    return f"the store does not answer: {detail}"


def _is_our_fault(error: exc.DBAPIError) -> bool:
    """True if no retry can succeed, since a statement or a value is wrong."""
    ours = isinstance(error, exc.IntegrityError | exc.DataError | exc.ProgrammingError)
    return ours and type(error.orig).__name__ not in _NO_TABLE


@contextmanager
def translated() -> Iterator[None]:
    """Translate the drivers' errors.

    Raises:
        StoreUnavailable: In place of every error after which a retry may succeed.
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no connection to the store is free: {error}") from error
    except exc.DBAPIError as error:
        if _is_our_fault(error):
            raise
        raise StoreUnavailable(_told(error)) from error
