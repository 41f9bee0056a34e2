"""A migrated service database of each kind."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from judges.store.schema import connect_database
from judges.store.schema import database_url as as_url
from service.storage.migrate import migrate


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database with the service's tables."""
    opened = connect_database(as_url(database_url))
    migrate(opened)
    yield opened
    opened.dispose()
