"""Rows as a data set of the datasets library, without a second copy of them all in memory."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

R = TypeVar("R")

AT_ONCE = 10_000


def as_dataset(
    rows: Sequence[R],
    columns: Callable[[Sequence[R]], dict[str, list[Any]]],
    at_once: int = AT_ONCE,
) -> Any:
    """The rows as a data set, in their order: `columns` makes the columns of some of them.

    Some at a time, since lists of messages take several times the memory of the text they hold;
    the data set itself takes little more than the text.
    """
    from datasets import Dataset, concatenate_datasets

    starts = range(0, len(rows), at_once) or (0,)
    parts = [Dataset.from_dict(columns(rows[start : start + at_once])) for start in starts]
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)
