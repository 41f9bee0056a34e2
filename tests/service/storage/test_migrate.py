import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from judges.errors import DataError
from judges.store.schema import SERVICE_TABLE as VERSION_TABLE
from judges.store.schema import connect_database, open_database
from judges.store.schema import database_url as as_url
from service.storage.all_tables import metadata
from service.storage.migrate import migrate

ROOT = Path(__file__).parents[3]


def test_migrations_make_the_tables_that_the_code_uses(database_url: str) -> None:
    engine = connect_database(as_url(database_url))
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_several_processes_may_start_at_once(database_url: str) -> None:
    code = (
        "import sys; from judges.store.schema import connect_database, database_url; "
        "from service.storage.migrate import migrate; "
        "migrate(connect_database(database_url(sys.argv[1])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, database_url], cwd=ROOT) for _ in range(3)
    ]
    assert [process.wait(60) for process in started] == [0] * 3
    engine = connect_database(as_url(database_url))
    assert set(metadata.tables) < set(inspect(engine).get_table_names())
    engine.dispose()


def test_tables_of_a_newer_charter_are_left_alone(database_url: str) -> None:
    engine = connect_database(as_url(database_url))
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'from_the_future'"))
    with pytest.raises(DataError, match="from_the_future"):
        migrate(engine)
    engine.dispose()


def test_a_failing_migration_leaves_nothing_behind(database_url: str) -> None:
    engine = connect_database(as_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tasks (stranger INTEGER)"))
    with pytest.raises(DataError):
        migrate(engine)
    assert set(inspect(engine).get_table_names()) == {"tasks"}
    engine.dispose()


def test_votes_come_into_a_database_after_the_service(database_url: str) -> None:
    url = as_url(database_url)
    engine = connect_database(url)
    migrate(engine)
    open_database(url).dispose()
    assert {"votes", "jobs"} < set(inspect(engine).get_table_names())
    engine.dispose()
