"""Votes out of one store and into another: a file of texts, then votes, that needs no store.

JSON lines hold the format's version, then `{"text": …}` and `{"vote": …}`, one a line. Parquet
holds the same as rows, for scans of more votes than a database likes.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from judges.errors import ConfigError, DataError
from judges.records import Question, Vote
from judges.store.database_errors import database_errors
from judges.store.files import (
    Entry,
    StoredText,
    read_jsonl_export,
    read_parquet_export,
    write_jsonl_export,
    write_parquet_export,
)
from judges.store.schema import LIST, NO_TEXT, texts, votes
from judges.store.texts import bodies_of, digests_of
from judges.store.vote_store import VoteStore, named_texts, vote_of_row

BATCH = 5_000
"""Texts or votes in one transaction of a merge."""
BATCH_BYTES = 16 * 2**20
"""Or as few as have bodies of this size together."""
TEXTS_READ, VOTES_READ = 200, 5_000
"""Rows fetched at a time."""
READERS = {".jsonl": read_jsonl_export, ".parquet": read_parquet_export}
WRITERS = {".jsonl": write_jsonl_export, ".parquet": write_parquet_export}


def export_votes(store: VoteStore, path: Path) -> int:
    """How many votes were written: all there are, with all texts, to a .jsonl or .parquet file.

    The state of one moment; the file appears when it is complete.
    Raises: DataError when the file is there already, or the disk is full; ConfigError for a
    format that cannot be written.
    """
    if path.suffix not in WRITERS:
        raise ConfigError(f"{path}: votes are written as .jsonl or .parquet; name such a file")
    if path.exists():
        raise DataError(f"{path}: is there already; name a new file, or remove this one first")
    with closing(read_store(store)) as entries:
        return WRITERS[path.suffix](path, entries)


def merge_votes(store: VoteStore, source: str | Path) -> int:
    """How many votes were new: those of an export, or of another store, that this one lacked.

    What is here stays as it is, and a text that either side erased stays without a body. A merge
    that was killed is finished by running it again.
    Raises: DataError for a source that is absent, altered or no export; ConfigError for one of
    another kind.
    """
    path = Path(str(source).removeprefix("sqlite:///"))
    if path.suffix in READERS:
        return _take_over(store, READERS[path.suffix](path))
    is_file = "://" not in str(source).removeprefix("sqlite:///")
    if is_file and not path.is_file():
        raise DataError(f"{path}: no such file; name an export or a store's URL")
    with VoteStore.open(f"sqlite:///{path}" if is_file else str(source)) as other:
        return _take_over(store, read_store(other))


def _take_over(store: VoteStore, entries: Iterable[Entry]) -> int:
    """The texts come first in every source, so each batch names only what is known by then."""
    added = 0
    for batch in _batches(entries):
        bodies = {entry.digest: entry.body for entry in batch if isinstance(entry, StoredText)}
        added += store.add_encoded([entry for entry in batch if isinstance(entry, Vote)], bodies)
    return added


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.body or b"") if isinstance(entry, StoredText) else 0
        if len(batch) == BATCH or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_store(store: VoteStore) -> Generator[Entry, None, None]:
    """Every text of the store, then every vote, as of one moment."""
    engine = store.engine
    if engine.dialect.name == "postgresql":
        # SQLite's readers see one moment anyway.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with database_errors(engine), engine.begin() as connection:
        for digest, body in connection.execute(
            select(texts.c.digest, texts.c.body), execution_options={"yield_per": TEXTS_READ}
        ):
            yield StoredText(digest.hex(), body)
        found = connection.execute(select(votes), execution_options={"yield_per": VOTES_READ})
        for rows in found.partitions():
            yield from _votes(connection, rows)


def _votes(connection: Connection, rows: Iterable[Row[Any]]) -> Iterator[Vote]:
    rows = list(rows)
    named = {number for row in rows for number in (*row[:4], row.principle_id)}
    digests = digests_of(connection, named - {NO_TEXT, LIST})
    bodies = bodies_of(
        connection,
        named_texts(rows) | {row.first_id for row in rows if row.second_id == LIST},
    )
    for row in rows:
        shown = [digests[number] for number in (row.first_id, row.second_id) if number > NO_TEXT]
        if row.second_id == LIST:
            shown = orjson.loads(bodies[row.first_id] or "[]")
        question = Question(
            setting=digests[row.setting_id],
            principle=digests[row.principle_id],
            conversation=digests[row.conversation_id],
            completions=tuple(shown),
            sample=row.sample,
        )
        yield vote_of_row(question, row, bodies)
