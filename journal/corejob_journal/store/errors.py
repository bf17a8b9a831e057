"""What may go wrong with the store, and which of the drivers' errors mean that."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc


class StoreError(Exception):
    """Anything that the store can't do."""


class StoreUnavailable(StoreError):  # noqa: N818  # the name says what its catcher wants to know
    """The database is away, locked, full, or has no tables yet: try again later."""


class SchemaError(StoreError):
    """The database is of a later version than this program."""


_NO_TABLE = frozenset({"UndefinedTable", "InvalidCatalogName"})


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
        raise StoreUnavailable(f"the store does not answer: {error.orig}") from error
