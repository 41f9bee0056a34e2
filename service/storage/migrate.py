"""Bringing the service's tables up to date with Alembic, also when several processes start at once.

The migrations are in the package, `service/storage/migrations/versions`, and run in one
transaction: a start that is killed leaves the tables as they were.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from judges.errors import DataError
from judges.store.database_errors import database_errors
from judges.store.schema import SERVICE_TABLE as VERSION_TABLE
from judges.store.schema import prepare_sqlite_file, writing

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x6D69677261746531
"""PostgreSQL advisory lock under which one process at a time migrates."""


def migrate(engine: Engine) -> None:
    """Bring the service's tables up to date; where they are, it is one read.

    Raises: DataError when the database cannot be used or was written by a newer charter.
    """
    with database_errors(engine):
        with engine.connect() as connection:
            if _revisions(connection) == _newest():
                return
        if engine.dialect.name == "sqlite":
            prepare_sqlite_file(engine)
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            _refuse_newer(connection)
            _upgrade(connection)


def _revisions(connection: Connection) -> set[str]:
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return set()
    return set(connection.scalars(text(f"SELECT version_num FROM {VERSION_TABLE}")))


def _known() -> dict[str, str | None]:
    """Each revision of this charter, and the one it follows."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS))
    return {script.revision: script.down_revision for script in scripts.walk_revisions()}  # type: ignore[misc]


def _newest() -> set[str]:
    known = _known()
    return known.keys() - set(known.values())


def _refuse_newer(connection: Connection) -> None:
    unknown = _revisions(connection) - _known().keys()
    if unknown:
        raise DataError(
            f"{connection.engine.url.render_as_string()}: the service's tables are at revision "
            f"{min(unknown)}, which this charter does not know; use the charter that wrote them, "
            "or a newer one"
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")
