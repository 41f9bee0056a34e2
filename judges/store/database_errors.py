"""What a database's driver raises, as errors that say where, what and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from judges.errors import DataError

LOCK_WAIT_S = 60
"""How long a writer waits for another one before it gives up."""
_CAUSES = (
    (
        ("disk is full", "No space left", "DiskFull"),
        "disk is full",
        "free some space and run the same command again; what was stored before is intact",
    ),
    (
        ("disk I/O error",),
        "disk cannot be written (over quota, over a limit, or failing)",
        "make room and run the same command again; what was stored before is intact",
    ),
    (
        ("database is locked", "table is locked"),
        f"database stayed locked for {LOCK_WAIT_S} s",
        "wait until the other command has finished, then run the same command again",
    ),
    (
        ("not a database", "malformed"),
        "file is damaged or is no SQLite database",
        "restore it, or name another file",
    ),
    (
        ("unable to open", "readonly", "read-only"),
        "database cannot be opened",
        "check the path and that you may write there",
    ),
)

_AWAY = ("08", "57P01", "57P02", "57P03")
"""How the SQLSTATEs begin of connections lost, and of a server that stops, fell or starts."""


class DatabaseAway(DataError):
    """A database server that cannot be reached now, and may be back in a moment."""


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Whatever the driver raises inside, as a DataError that says where and what to do.

    Raises: DatabaseAway for a server that may be back in a moment, else a plain DataError.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, engine.dialect.loaded_dbapi.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        what, remedy = _explain(" ".join(f"{type(cause).__name__}: {cause}".split()))
        kind = DatabaseAway if _is_away(engine, error) else DataError
        raise kind(f"{engine.url.render_as_string()}: {what}; {remedy}") from error


def _is_away(engine: Engine, error: Exception) -> bool:
    if engine.dialect.name != "postgresql" or not isinstance(error, OperationalError):
        return False
    # The driver's own errors, such as a refused connection, come with no SQLSTATE.
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state.startswith(_AWAY)


def _explain(seen: str) -> tuple[str, str]:
    """What went wrong, and what to do about it."""
    for marks, what, remedy in _CAUSES:
        if any(mark in seen for mark in marks):
            return what, remedy
    return seen, "check that the database is there and running"
