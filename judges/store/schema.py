"""The vote store's tables, and how a database is opened, checked and written to.

Every text is kept once in `texts` and named by an integer. A vote's primary key is the content
key itself, in interned form, and starts with the conversation: the votes on one prompt lie side
by side on disk, so a store larger than memory is read in runs, not at random.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from judges.errors import ConfigError, DataError
from judges.store.database_errors import LOCK_WAIT_S, database_errors

SCHEMA_VERSION = 2
"""2: votes name the rationale they came with."""
PARTITIONS = 16
"""Hash partitions of the votes on PostgreSQL; a table of 10^8 votes stays at 10^7 in each."""
PAGE_BYTES = 8192
CACHE_MIB = 64
"""What a connection to an SQLite file may keep of it in memory: for reading millions of votes."""
CREATION_LOCK = 0x63686172746572
"""PostgreSQL advisory lock under which the tables are created: `charter` in ASCII."""

SERVICE_TABLE = "charter_service_version"
"""Where it is, the other tables are the service's own, which may share a database with votes."""

NO_TEXT = 0
"""In place of a completion that the question does not have."""
LIST = -1
"""As `second_id`: `first_id` names the canonical JSON list of the group's completion digests."""

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")

store_version = Table("charter_store", metadata, Column("version", Integer, nullable=False))

texts = Table(
    "texts",
    metadata,
    Column("id", _Id, Identity(), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    # Bytes, not text: PostgreSQL's text holds neither NUL nor lone surrogates. NULL: erased.
    Column("body", LargeBinary),
)

votes = Table(
    "votes",
    metadata,
    Column("conversation_id", _Id, primary_key=True, autoincrement=False),
    Column("setting_id", _Id, primary_key=True, autoincrement=False),
    Column("first_id", _Id, primary_key=True, autoincrement=False),
    Column("second_id", _Id, primary_key=True, autoincrement=False),
    Column("sample", Integer, primary_key=True, autoincrement=False),
    # Last: the principles on one pair are one run of rows, which `store_columns` reads as one.
    Column("principle_id", _Id, primary_key=True, autoincrement=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("provenance_id", _Id, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("value", Double),
    Column("label_mass", Double),
    Column("scored", Boolean, nullable=False),
    Column("reason", String),
    # float64, little endian, one for each option.
    Column("logprobs", LargeBinary, nullable=False),
    Column("rationale_id", _Id),
    sqlite_with_rowid=False,
    postgresql_partition_by="HASH (conversation_id)",
)


def database_url(reference: str | None) -> URL:
    """The database named, or else `CHARTER_DATABASE_URL`, or else votes.db in `CHARTER_HOME`.

    Raises: ConfigError when it is neither an SQLite file nor a PostgreSQL database.
    """
    named = reference or os.environ.get("CHARTER_DATABASE_URL")
    if not named:
        home = os.environ.get("CHARTER_HOME") or Path.home() / ".local" / "share" / "charter"
        return URL.create("sqlite", database=str(Path(home) / "votes.db"))
    try:
        url = make_url(named)
    except ArgumentError as error:
        raise ConfigError(_not_a_url(named)) from error
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or url.database in (None, "", ":memory:"):
        raise ConfigError(_not_a_url(named))
    return url


def _not_a_url(named: str) -> str:
    return (
        f"{named}: is no database of a kind that can hold votes (CHARTER_DATABASE_URL, --store); "
        "write sqlite:////path/to/votes.db or postgresql://user@host/database"
    )


def open_database(url: URL, cache_mib: int = CACHE_MIB) -> Engine:
    """An engine on a database that holds charter's tables, created if it held nothing.

    Raises: ConfigError without a PostgreSQL driver; DataError when the database cannot be reached
    or written, holds something else, or was written by a newer charter.
    """
    engine = connect_database(url, cache_mib)
    try:
        with database_errors(engine):
            _ensure_tables(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def connect_database(url: URL, cache_mib: int = CACHE_MIB) -> Engine:
    """An engine on a database, whatever it holds; transactions that write say so by `writing`.

    Memory: on SQLite, up to `cache_mib` for each connection, and a connection for each thread.
    Raises: ConfigError without a PostgreSQL driver; DataError for a folder that cannot be made.
    """
    is_file = url.get_backend_name() == "sqlite"
    return _sqlite_engine(url, cache_mib) if is_file else _postgresql_engine(url)


def _sqlite_engine(url: URL, cache_mib: int) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{path.parent}: folder for the votes cannot be made ({error.strerror}); "
            "set CHARTER_DATABASE_URL or CHARTER_HOME to a place you can write to"
        ) from error
    # A connection is an open file: as many as there are threads.
    engine = create_engine(url, connect_args={"timeout": LOCK_WAIT_S}, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # We begin transactions ourselves: sqlite3 begins them late, and never before a read.
        connection.isolation_level = None
        cache = f"cache_size=-{cache_mib * 1024}"
        for pragma in ("synchronous=FULL", "secure_delete=ON", cache):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A reader that turns writer can be refused at once; a writer says so from the start.
        writes = connection.get_execution_options().get("charter_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, pool_timeout=LOCK_WAIT_S)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{url.render_as_string()}: the driver {error.name!r} is not installed; "
            "run pip install 'psycopg[binary]'"
        ) from error


def _ensure_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        if version := _recorded_version(connection):
            if version < SCHEMA_VERSION:
                _bring_up_to_date(engine)
            return
    if engine.dialect.name == "sqlite":
        prepare_sqlite_file(engine)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({CREATION_LOCK})"))
        if _recorded_version(connection):
            return
        metadata.create_all(connection)
        if engine.dialect.name == "postgresql":
            for part in range(PARTITIONS):
                connection.execute(
                    text(
                        f"CREATE TABLE votes_{part} PARTITION OF votes "
                        f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {part})"
                    )
                )
        connection.execute(insert(store_version).values(version=SCHEMA_VERSION))


def _bring_up_to_date(engine: Engine) -> None:
    """Add what version 2 has over version 1; a second process that comes late finds it done."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({CREATION_LOCK})"))
        if _recorded_version(connection) == 1:
            connection.execute(text("ALTER TABLE votes ADD COLUMN rationale_id BIGINT"))
            connection.execute(update(store_version).values(version=SCHEMA_VERSION))


def prepare_sqlite_file(engine: Engine) -> None:
    """Page size and write-ahead log: fixed once, outside a transaction, in a still empty file."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute(f"PRAGMA page_size={PAGE_BYTES}")
        _switch_to_write_ahead_log(cursor)
        cursor.close()
    finally:
        raw.close()


def _switch_to_write_ahead_log(cursor: Any) -> None:
    """Two connections that switch at once refuse each other without waiting: try again."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _recorded_version(connection: Connection) -> int | None:
    """The schema's version; None in an empty database."""
    where = connection.engine.url.render_as_string()
    tables = inspect(connection).get_table_names()
    if store_version.name not in tables:
        if tables and SERVICE_TABLE not in tables:
            raise DataError(
                f"{where}: holds other tables ({', '.join(sorted(tables)[:3])}) and no votes; "
                "name an empty database or one that charter made"
            )
        return None
    version = connection.scalar(select(store_version.c.version))
    if version is None or version > SCHEMA_VERSION:
        raise DataError(
            f"{where}: has schema version {version}, this charter knows {SCHEMA_VERSION}; "
            "use the charter that wrote it, or a newer one"
        )
    return int(version)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: all of it is kept, or nothing."""
    with engine.execution_options(charter_writes=True).begin() as connection:
        yield connection
