"""Opening the database that holds the service's own tables, on SQLite or PostgreSQL.

Calls block: handlers make them in threads (`asyncio.to_thread`). One transaction that writes is
`writing(engine)` of `judges.store.schema`: BEGIN IMMEDIATE on SQLite.
"""

from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from judges.store.schema import connect_database, database_url
from service.settings import Settings
from service.storage.migrate import migrate

CACHE_MIB = 8
"""A service's threads have a connection each: its memory stays the same however long it runs."""


def service_url(settings: Settings) -> URL:
    """Where the service's tables lie: as set; else in the votes' PostgreSQL, or a file beside.

    Raises: ConfigError for a URL that cannot hold them.
    """
    if settings.service_url:
        return database_url(settings.service_url)
    votes = database_url(settings.votes_url or _default(settings))
    if votes.get_backend_name() != "sqlite":
        return votes
    return votes.set(database=str(Path(str(votes.database)).with_name("service.db")))


def votes_url(settings: Settings) -> str:
    """Where votes lie, as `VoteStore.open` takes it."""
    return settings.votes_url or _default(settings)


def _default(settings: Settings) -> str:
    return f"sqlite:///{settings.home / 'votes.db'}"


def open_service_database(url: URL) -> Engine:
    """An engine on a database that holds the service's tables, brought up to date.

    Raises: ConfigError without a driver; DataError when the database cannot be used.
    """
    engine = connect_database(url, CACHE_MIB)
    try:
        migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine
