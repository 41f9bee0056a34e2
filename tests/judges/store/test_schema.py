import os
import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from judges.canonical import text_digest
from judges.errors import ConfigError, DataError
from judges.store.schema import PARTITIONS, SCHEMA_VERSION, database_url
from judges.store.vote_store import VoteStore
from tests.judges.made_votes import cast


def run_sql(url: str, statement: str) -> None:
    """One statement by a client that is not charter."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        with connection:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(statement.encode())


@pytest.mark.parametrize(
    ("reference", "driver"),
    [
        ("sqlite:////tmp/votes.db", "sqlite"),
        ("sqlite:///votes.db", "sqlite"),
        ("postgresql://someone@host/votes", "postgresql+psycopg"),
        ("postgresql+psycopg://someone@host/votes", "postgresql+psycopg"),
        ("postgres://someone@host/votes", "postgresql+psycopg"),
    ],
)
def test_databases_that_hold_votes(reference: str, driver: str) -> None:
    assert database_url(reference).drivername == driver


@pytest.mark.parametrize(
    "reference", ["votes.db", "mysql://host/votes", "sqlite://", "sqlite:///:memory:", "://"]
)
def test_other_references_are_refused_with_the_forms_that_work(reference: str) -> None:
    with pytest.raises(ConfigError, match=r"write sqlite:////path/to/votes.db or postgresql://"):
        VoteStore.open(reference)


def test_the_environment_names_the_store(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTER_HOME", str(tmp_path / "home" / "of charter"))
    with VoteStore.open() as store:
        store.add(*cast("prompt"))
    assert (tmp_path / "home" / "of charter" / "votes.db").is_file()
    monkeypatch.setenv("CHARTER_DATABASE_URL", sqlite_url)
    assert database_url(None).database == str(tmp_path / "votes.db")
    assert database_url("sqlite:///given.db").database == "given.db"


def test_sqlite_keeps_what_it_says_it_kept(sqlite_url: str) -> None:
    with VoteStore.open(sqlite_url) as store, store.engine.connect() as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


def test_postgresql_spreads_votes_over_partitions(postgresql_url: str) -> None:
    with VoteStore.open(postgresql_url) as store:
        for number in range(60):
            store.add(*cast(f"prompt {number}"))
        with store.engine.connect() as connection:
            filled = connection.scalar(text("SELECT count(DISTINCT tableoid) FROM votes"))
            parts = connection.scalar(text("SELECT count(*) - 1 FROM pg_partition_tree('votes')"))
    assert parts == PARTITIONS
    assert filled > PARTITIONS / 2


def test_a_newer_store_is_refused(database_url: str) -> None:
    VoteStore.open(database_url).close()
    run_sql(database_url, f"UPDATE charter_store SET version = {SCHEMA_VERSION + 1}")
    with pytest.raises(DataError, match=f"version {SCHEMA_VERSION + 1}, this charter knows"):
        VoteStore.open(database_url)


def test_a_database_of_something_else_is_refused_and_left_alone(database_url: str) -> None:
    run_sql(database_url, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(DataError, match=r"holds other tables \(recipes\) and no votes"):
        VoteStore.open(database_url)
    run_sql(database_url, "DROP TABLE recipes")
    VoteStore.open(database_url).close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "votes.db"
    path.write_text("prompt,completion\n" * 100)
    with pytest.raises(DataError, match=r"votes\.db: file is damaged or is no SQLite database"):
        VoteStore.open(f"sqlite:///{path}")
    assert path.read_text() == "prompt,completion\n" * 100


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/inside: folder for the votes cannot be made"):
        VoteStore.open(f"sqlite:///{tmp_path}/file/inside/votes.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: database cannot be opened; check the path"):
        VoteStore.open(f"sqlite:///{tmp_path}/folder")


def test_an_absent_server_is_named_without_its_password() -> None:
    with pytest.raises(DataError, match="check that the database is there and running") as caught:
        VoteStore.open("postgresql://someone:hush@127.0.0.1:9/votes")
    assert "someone:***@127.0.0.1:9/votes" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_full_disk_keeps_what_was_there(sqlite_url: str) -> None:
    first, large = cast("first"), cast("second", ("x" * 500_000, "y" * 500_000))
    with VoteStore.open(sqlite_url) as store:
        store.add(*first)
        with store.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(DataError, match=r"disk is full; free some space .* is intact"):
            store.add(*large)
        assert len(store.get([first.votes[0].question, large.votes[0].question])) == 1
        assert store.ids([text_digest("x" * 500_000)]).tolist() == [0]
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert store.add(*large) == 1


def test_a_full_file_system_keeps_what_was_there(sqlite_url: str) -> None:
    """The same by a limit of the operating system, which the write itself runs into."""
    import resource
    import signal

    first, large = cast("first"), cast("second", ("x" * 5_000_000,))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with VoteStore.open(sqlite_url) as store:
        store.add(*first)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            with pytest.raises(
                DataError, match=r"disk is full|disk cannot be written \(over quota"
            ):
                store.add(*large)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
        assert len(store.get([first.votes[0].question])) == 1
        assert store.add(*large) == 1


def test_a_writer_that_waits_too_long_says_so(sqlite_url: str) -> None:
    with VoteStore.open(sqlite_url) as store:
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 20")
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match=r"stayed locked .* wait until the other command"):
            store.add(*cast("prompt"))
        assert store.get([cast("prompt").votes[0].question]) == {}, "readers need not wait"
        other.execute("ROLLBACK")
        other.close()
        assert store.add(*cast("prompt")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_store_is_named(sqlite_url: str, tmp_path: Path) -> None:
    with VoteStore.open(sqlite_url) as store:
        store.add(*cast("prompt"))
    (tmp_path / "votes.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with (
            VoteStore.open(sqlite_url) as store,
            pytest.raises(DataError, match="that you may write there"),
        ):
            store.add(*cast("another"))
    finally:
        tmp_path.chmod(0o755)


def test_a_store_of_version_1_is_brought_up_to_date(database_url: str) -> None:
    made = cast("old")
    with VoteStore.open(database_url) as store:
        store.add(*made)
    run_sql(database_url, "ALTER TABLE votes DROP COLUMN rationale_id")
    run_sql(database_url, "UPDATE charter_store SET version = 1")
    with VoteStore.open(database_url) as store:
        assert list(store.get([vote.question for vote in made.votes]).values()) == made.votes
        thought = cast("new", rationale="because")
        store.add(*thought)
        assert store.get([thought.votes[0].question])[thought.votes[0].question].rationale
    with VoteStore.open(database_url):
        pass
