"""The fast path of `reweigh`: a million votes as numpy arrays, without a record for any of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

Integers = npt.NDArray[np.int64]

CHUNK = 2_000
"""Conversations in one query."""


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
    value: npt.NDArray[np.float64]
    """Log-odds of the first of two options, or a rule's score; NaN where unscored."""
    scored: npt.NDArray[np.bool_]
    """Whether the vote was scored."""

    def __len__(self) -> int:
        return len(self.value)


ROW = np.dtype(
    [
        ("conversation", np.int64),
        ("setting", np.int64),
        ("principle", np.int64),
        ("first", np.int64),
        ("second", np.int64),
        ("sample", np.int64),
        ("value", np.float64),
        ("scored", np.bool_),
    ]
)
SELECT = "conversation_id, setting_id, principle_id, first_id, second_id, sample, value, scored"


def read_columns(engine: Engine, settings: Integers, conversations: Integers) -> VoteColumns:
    """The votes under settings on conversations, both named by the store's integers."""
    known = np.sort(conversations[conversations > 0])
    asked = settings[settings > 0]
    chunks = (list(_read(engine, asked, known)) if len(known) and len(asked) else []) or [
        np.empty(0, ROW)
    ]
    columns = {
        field.name: np.concatenate([chunk[field.name] for chunk in chunks])
        for field in fields(VoteColumns)
    }
    columns["conversation"] = _positions(conversations, columns["conversation"])
    columns["setting"] = _positions(settings, columns["setting"])
    return VoteColumns(**columns)


def _positions(asked: Integers, found: Integers) -> Integers:
    order = np.argsort(asked, kind="stable")
    return np.asarray(order[np.searchsorted(asked[order], found)], np.int64)


def _read(
    engine: Engine, settings: Integers, conversations: Integers
) -> Iterator[npt.NDArray[np.void]]:
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        for start in range(0, len(conversations), CHUNK):
            some = ",".join(map(str, conversations[start : start + CHUNK].tolist()))
            cursor.execute(
                f"SELECT {SELECT} FROM votes WHERE conversation_id IN ({some}) "
                f"AND setting_id IN ({','.join(map(str, settings.tolist()))}) "
                "ORDER BY conversation_id, setting_id, first_id, second_id, principle_id, sample"
            )
            rows: Iterable[Any] = cursor
            yield np.fromiter(rows, ROW)
        cursor.close()
