"""The fast path of `reweigh`: a million votes as numpy arrays, with no record for any of them.

A Python object for each cell is what costs, so the database packs: the principles on one pair come
as one item. PostgreSQL packs the values with them. SQLite has no bytes of a number to give, and
sends the values one by one: 1.0 s of processor time against 1.7 s for plain rows, a million votes
on a slow core; for PostgreSQL 0.1 s on our side against 2.6 s for a binary COPY. The order of the
primary key makes both a plain scan.
"""

from collections.abc import Iterator, Sequence
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


def read_columns(
    engine: Engine, settings: Integers, conversations: Integers, principles: Integers | None = None
) -> VoteColumns:
    """The votes under settings on conversations, about some principles or all, by their integers.

    Cost: one scan of these conversations' votes, in one transaction; about 60 bytes a vote. No scan
    where the store knows no setting or no principle.
    """
    parts = [_NO_ROWS]
    asked, known = settings[settings > 0], np.sort(conversations[conversations > 0])
    where = f"setting_id IN ({_listed(asked)})"
    if principles is not None:
        about = principles[principles > 0]
        where += f" AND principle_id IN ({_listed(about)})"
    if len(asked) and (principles is None or len(about)):
        parts += _read(engine, where, known)
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


def _read(engine: Engine, where: str, conversations: Integers) -> Iterator[Part]:
    read_rows = _sqlite_rows if engine.dialect.name == "sqlite" else _postgresql_rows
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        for start in range(0, len(conversations), CHUNK):
            some = conversations[start : start + CHUNK]
            yield read_rows(driver, f"{where} AND conversation_id IN ({_listed(some)})")


def _listed(numbers: Integers) -> str:
    return ",".join(map(str, numbers.tolist()))


def _sqlite_rows(connection: Any, where: str) -> Part:
    """One text of principles for each pair and sample, then one value for each row."""
    groups = connection.execute(_grouped("group_concat(principle_id)", where)).fetchall()
    if not groups:
        return _NO_ROWS
    principles = [_numbers(group[-1]) for group in groups]
    counts = np.fromiter(map(len, principles), np.int64, len(groups))
    rows = connection.execute(f"SELECT {VALUE} FROM votes WHERE {where} ORDER BY {', '.join(KEY)}")
    # None becomes NaN.
    values = np.fromiter(chain.from_iterable(rows), np.float64, counts.sum())
    return _keys(groups, counts, np.concatenate(principles)), values


@lru_cache(maxsize=4096)
def _numbers(text: str) -> Integers:
    """The numbers of a group in the key's order, whichever order SQLite joined them in."""
    return np.sort(np.array(text.split(","), np.int64))


def _postgresql_rows(connection: Any, where: str) -> Part:
    """For each pair and sample, the principles and values as PostgreSQL sends them, end to end."""
    packed = (
        f"string_agg(int8send(principle_id) || float8send(coalesce({VALUE}, 'NaN')), "
        "''::bytea ORDER BY principle_id)"
    )
    with connection.cursor(binary=True) as cursor:
        groups = cursor.execute(_grouped(packed, where)).fetchall()
    if not groups:
        return _NO_ROWS
    rows = np.frombuffer(b"".join(group[-1] for group in groups), _PACKED)
    counts = np.fromiter((len(group[-1]) for group in groups), np.int64) // _PACKED.itemsize
    return _keys(groups, counts, rows["principle"]), rows["value"].astype(np.float64)


_PACKED = np.dtype([("principle", ">i8"), ("value", ">f8")])


def _grouped(packed: str, where: str) -> str:
    shared = ", ".join(KEY[:-1])
    return f"SELECT {shared}, {packed} FROM votes WHERE {where} GROUP BY {shared} ORDER BY {shared}"


def _keys(groups: Sequence[Any], counts: Integers, principles: npt.NDArray[Any]) -> Integers:
    """The key of every row: what its group shares, and its principle."""
    key = np.empty((len(KEY), len(principles)), np.int64)
    shared = np.array([group[:-1] for group in groups], np.int64)
    key[:-1] = np.repeat(shared.T, counts, axis=1)
    key[-1] = principles
    return key
