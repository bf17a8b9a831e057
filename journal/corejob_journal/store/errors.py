"""What may go wrong with the store, and which of the drivers' errors mean that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc


class StoreError(Exception):
    """Anything that the store can't do."""


class StoreUnavailable(StoreError):  # noqa: N818  # the name says what its catcher wants to know
    """The database is away, locked, full, or has no tables yet: try again later."""


class SchemaError(StoreError):
    """The database is of a later version than this program."""


class ForeignJobError(StoreError):
    """Log and record of that id belong to another CoreJob, or to a past one."""


_NO_TABLE = frozenset({"UndefinedTable", "InvalidCatalogName"})


_FULL: Final = frozenset({"SQLITE_FULL", "DiskFull"})
_LOCKED: Final = "SQLITE_BUSY"


def _told(error: exc.DBAPIError) -> str:
    """What is wrong, and what to do about it where that is clear."""
    words = " ".join(str(error.orig).split())
    # The name of SQLite's error, or psycopg's class for that of PostgreSQL's.
    name = getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
    if name in _FULL:
        return f"the store is full, make room on its volume ({words})"
    if name.startswith(_LOCKED):
        return f"another program keeps the store locked, end it ({words})"
    return f"the store does not answer: {words}"


def _is_our_fault(error: exc.DBAPIError) -> bool:
    """Whether trying again would never help: a mistake in a statement or in a value."""
    ours = isinstance(error, exc.IntegrityError | exc.DataError | exc.ProgrammingError)
    return ours and type(error.orig).__name__ not in _NO_TABLE


@contextmanager
def translated() -> Iterator[None]:
    """Raise the drivers' errors as ours.

    Raises:
        StoreUnavailable: In place of every error that may pass.
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no connection to the store is free: {error}") from error
    except exc.DBAPIError as error:
        if _is_our_fault(error):
            raise
        raise StoreUnavailable(_told(error)) from error
