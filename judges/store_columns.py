"""The fast path of `reweigh`: a million votes as numpy arrays, with no record for any of them.

A Python object for each cell is what costs. PostgreSQL sends its rows as binary columns of fixed
width, read where they lie. SQLite joins the principles on one pair into one text, nearly always
the same one, and leaves one number a row to be fetched: 1.0 s against 1.7 s for plain rows, a
million votes, on two slow cores. The order of the primary key makes both a plain scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Part = tuple[Integers, Floats]
"""Some rows: their keys (6, rows) in the order of KEY, and their values."""

CHUNK = 2_000
"""Conversations in one query."""
KEY = ("conversation_id", "setting_id", "first_id", "second_id", "sample", "principle_id")
VALUE = "CASE WHEN scored THEN value END"
_NO_ROWS: Part = (np.empty((len(KEY), 0), np.int64), np.empty(0))


@dataclass(frozen=True)
class VoteColumns:
    """Votes as arrays of one length; the rows of one conversation lie side by side.

    Texts are the store's integers (`VoteStore.ids`), 0 for none.
    """

    conversation: Integers
    """Index into the conversations asked for."""
    setting: Integers
    """Index into the settings asked for."""
    principle: Integers
    """The principle's question text."""
    first: Integers
    """The completion shown first, or the only one."""
    second: Integers
    """The completion shown second; -1 where `first` is a whole group."""
    sample: Integers
    """Which of several samples of the same question."""
    value: Floats
    """Log-odds of the first of two options, or a rule's score; NaN where unscored."""
    scored: npt.NDArray[np.bool_]
    """Whether the vote was scored."""

    def __len__(self) -> int:
        return len(self.value)


def read_columns(engine: Engine, settings: Integers, conversations: Integers) -> VoteColumns:
    """The votes under settings on conversations, both named by the store's integers.

    Cost: one scan of these conversations' votes, in one transaction; about 60 bytes a vote.
    """
    parts = [_NO_ROWS]
    asked, known = settings[settings > 0], np.sort(conversations[conversations > 0])
    if len(asked):
        parts += _read(engine, asked, known)
    value = np.concatenate([part[1] for part in parts])
    conversation, setting, first, second, sample, principle = (
        np.concatenate([part[0][column] for part in parts]) for column in range(len(KEY))
    )
    return VoteColumns(
        conversation=_positions(conversations, conversation),
        setting=_positions(settings, setting),
        principle=principle,
        first=first,
        second=second,
        sample=sample,
        value=value,
        scored=~np.isnan(value),
    )


def _positions(asked: Integers, found: Integers) -> Integers:
    """Where each number found stands among those asked for."""
    order = np.argsort(asked)
    return np.asarray(order[np.searchsorted(asked[order], found)], np.int64)


def _read(engine: Engine, settings: Integers, conversations: Integers) -> Iterator[Part]:
    read_rows = _sqlite_rows if engine.dialect.name == "sqlite" else _postgresql_rows
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        for start in range(0, len(conversations), CHUNK):
            some = conversations[start : start + CHUNK]
            yield read_rows(
                cursor,
                f"setting_id IN ({_listed(settings)}) AND conversation_id IN ({_listed(some)})",
            )
        cursor.close()


def _listed(numbers: Integers) -> str:
    return ",".join(map(str, numbers.tolist()))


def _sqlite_rows(cursor: Any, where: str) -> Part:
    """One text of principles for each pair and sample, then one value for each row."""
    shared = ", ".join(KEY[:-1])
    cursor.execute(
        f"SELECT {shared}, group_concat(principle_id) FROM votes WHERE {where} "
        f"GROUP BY {shared} ORDER BY {shared}"
    )
    groups = cursor.fetchall()
    if not groups:
        return _NO_ROWS
    principles = [_numbers(group[-1]) for group in groups]
    counts = np.fromiter(map(len, principles), np.int64, len(groups))
    key = np.empty((len(KEY), counts.sum()), np.int64)
    key[:-1] = np.repeat(np.array([group[:-1] for group in groups], np.int64).T, counts, axis=1)
    key[-1] = np.concatenate(principles)
    cursor.execute(f"SELECT {VALUE} FROM votes WHERE {where} ORDER BY {', '.join(KEY)}")
    # None becomes NaN.
    return key, np.fromiter(chain.from_iterable(cursor), np.float64, key.shape[1])


@lru_cache(maxsize=4096)
def _numbers(text: str) -> Integers:
    """The numbers of a group in the key's order, whichever order SQLite joined them in."""
    return np.sort(np.array(text.split(","), np.int64))


# PostgreSQL, "COPY: Binary Format": a header, then for each row the number of fields and for each
# field its length and its bytes, most significant first; two bytes end it.
_HEADER_BYTES = 19
_TRAILER_BYTES = 2
_WIRE = np.dtype(
    [
        ("count", ">i2"),
        ("key", [("length", ">i4"), ("number", ">i8")], len(KEY)),
        ("value", [("length", ">i4"), ("number", ">f8")]),
    ]
)


def _postgresql_rows(cursor: Any, where: str) -> Part:
    """Binary COPY of fields of eight bytes each: every row is equally wide."""
    columns = ", ".join(f"{name}::int8" for name in KEY)
    with cursor.copy(
        f"COPY (SELECT {columns}, coalesce({VALUE}, 'NaN'::float8) FROM votes WHERE {where} "
        f"ORDER BY {', '.join(KEY)}) TO STDOUT (FORMAT BINARY)"
    ) as copy:
        sent = b"".join(copy)
    count = (len(sent) - _HEADER_BYTES - _TRAILER_BYTES) // _WIRE.itemsize
    rows = np.frombuffer(sent, _WIRE, count, _HEADER_BYTES)
    key = np.ascontiguousarray(rows["key"]["number"].T, np.int64)
    return key, rows["value"]["number"].astype(np.float64)
