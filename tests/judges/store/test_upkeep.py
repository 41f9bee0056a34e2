import sqlite3
from pathlib import Path

import psycopg
import pytest

from judges.canonical import text_digest
from judges.errors import DataError
from judges.store.upkeep import SettingCount, erase_text, store_stats
from judges.store.vote_store import VoteStore
from tests.judges.made_votes import SETTING, asked, cast

SECRET = 'Ana\'s "number" is\n555-0199, caf\N{LATIN SMALL LETTER E WITH ACUTE}'


def test_stats_count_votes_by_setting_and_answer(store: VoteStore) -> None:
    store.add(*cast("one", principles=("p", "q"), prompt_tokens=10, cached_tokens=4))
    store.add(*cast("two", status="unscored", reason="option_missing", value=None))
    store.add(*cast("three", status="unscored", reason="refused", value=None, prompt_tokens=5))
    stats = store_stats(store)
    assert stats.settings == (
        SettingCount(
            setting=SETTING.digest,
            kind="pair",
            judge="tiny@1",
            votes=4,
            scored=2,
            unscored={"option_missing": 1, "refused": 1},
            prompt_tokens=25,
            cached_tokens=8,
        ),
    )
    assert (stats.votes, stats.erased) == (4, 0)
    assert stats.texts == len({SETTING.text, "", *"pq", "Be brief.", "one", "two"}) + 3
    assert stats.bytes > 8192


def test_an_empty_store_has_stats(store: VoteStore) -> None:
    stats = store_stats(store)
    assert (stats.votes, stats.settings, stats.texts) == (0, (), 0)


def test_erasing_takes_the_text_and_leaves_its_votes(store: VoteStore) -> None:
    answered, prompted, quoting = (
        cast("prompt", (SECRET, "other")),
        cast(SECRET),
        cast("prompt", (f"I repeat: {SECRET}", "other")),
    )
    for made in (answered, prompted, quoting):
        store.add(*made)
    erasure = erase_text(store, SECRET)
    gone = {text_digest(SECRET), text_digest(asked(SECRET))}
    assert set(erasure.erased) == gone
    assert erasure.still_within == (text_digest(f"I repeat: {SECRET}"),)
    assert store.texts(sorted(gone)) == dict.fromkeys(sorted(gone))
    for made in (answered, prompted, quoting):
        assert store.get([made.votes[0].question]) == {made.votes[0].question: made.votes[0]}
        assert store.add(*made) == 0
    assert store.texts(sorted(gone)) == dict.fromkeys(sorted(gone)), "never stored again"
    assert store_stats(store).erased == 2
    assert erase_text(store, SECRET).erased == ()


def holders(folder: Path, secret: bytes) -> list[str]:
    """Files under a folder that hold the bytes; PostgreSQL's write-ahead log is not looked at."""
    files = (path for path in folder.rglob("*") if path.is_file() and "pg_wal" not in path.parts)
    return [path.name for path in files if secret in path.read_bytes()]


@pytest.mark.parametrize("length", [40, 3_000, 100_000], ids=["in a row", "in pages", "in many"])
def test_no_byte_of_an_erased_text_stays_in_an_sqlite_file(tmp_path: Path, length: int) -> None:
    secret = ("hunter2 " * length)[:length]
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        for number in range(30):
            store.add(*cast(f"prompt {number}", (f"filler {number} " * 40, "b")))
        store.add(*cast("prompt", (secret, "other")))
        store.add(*cast(secret))
        assert holders(tmp_path, b"hunter2")
        erase_text(store, secret)
        assert holders(tmp_path, b"hunter2") == []
        assert holders(tmp_path, b"filler 7") == ["votes.db"]


def test_no_byte_of_an_erased_text_stays_in_postgresql_tables(
    postgresql_url: str, postgresql_folder: Path
) -> None:
    secret = "swordfish in this table only"
    with (
        VoteStore.open(postgresql_url) as store,
        psycopg.connect(postgresql_url, autocommit=True) as other,
    ):
        store.add(*cast("prompt", (secret, "other")))
        other.execute("CHECKPOINT")
        assert holders(postgresql_folder, secret.encode())
        erase_text(store, secret)
        other.execute("CHECKPOINT")
        assert holders(postgresql_folder, secret.encode()) == []


def test_an_erasure_held_up_by_a_reader_says_so_and_is_finished_by_the_next(
    tmp_path: Path,
) -> None:
    with VoteStore.open(f"sqlite:///{tmp_path}/votes.db") as store:
        store.add(*cast("prompt", ("hunter2", "other")))
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 20")
        reader = sqlite3.connect(tmp_path / "votes.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM votes").fetchall()
        with pytest.raises(DataError, match="another command still reads"):
            erase_text(store, "hunter2")
        assert store.texts([text_digest("hunter2")]) == {text_digest("hunter2"): None}
        reader.close()
        assert erase_text(store, "hunter2").erased == ()
        assert holders(tmp_path, b"hunter2") == []


def test_nothing_is_not_a_text_to_erase(store: VoteStore) -> None:
    with pytest.raises(DataError, match="text to erase is empty"):
        erase_text(store, "")
