"""What a length limit does to rows: each one dropped or cut is counted, named, and bounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from judges.errors import ConfigError, DataError
from judges.formats.left_out import NAMED
from training.data.recipe import DataRecipe


@dataclass(frozen=True)
class Lengths:
    """Which of so many rows are dropped, and which are cut off."""

    rows: int
    dropped: list[int]
    """Rows of whose completion nothing fits."""
    cut: list[int]
    """Rows with a completion cut off."""

    @classmethod
    def of(cls, rows: int, kept: Sequence[int], tokens: Any, max_length: int) -> "Lengths":
        """By the rows that were kept, and the tokens of each of them. Shapes: tokens [kept]."""
        numbers = np.asarray(kept, dtype=np.int64)
        missing = np.ones(rows, dtype=bool)
        missing[numbers] = False
        cut = numbers[np.asarray(tokens) > max_length]
        return cls(rows, np.flatnonzero(missing).tolist(), cut.tolist())

    def check(
        self, recipe: DataRecipe, place: Callable[[int], str], message: Callable[[str], None]
    ) -> None:
        """Tell what is dropped and cut. Raises: DataError for more than the recipe allows."""
        if len(self.dropped) == self.rows:
            raise ConfigError(
                f"max_length is {recipe.max_length}, but every prompt is that long, so nothing is "
                "left to train on; raise max_length"
            )
        limit = f"{recipe.max_length} tokens (max_length)"
        for lost, what, key, share in (
            (self.dropped, "dropped: their prompt fills", "max_dropped", recipe.max_dropped),
            (self.cut, "cut off: longer than", "max_cut", recipe.max_cut),
        ):
            if not lost:
                continue
            told = f"{len(lost)} of {self.rows} rows are {what} {limit}: {named(lost, place)}"
            if len(lost) > share * self.rows:
                raise DataError(
                    f"{told}; that is more than {key} = {share:g} allows: raise max_length, "
                    f"shorten the rows, or raise {key}"
                )
            message(told)

    def tell_held_out(self, place: Callable[[int], str], message: Callable[[str], None]) -> None:
        """Say what is lost of rows that are only measured on: no limit applies to them."""
        for lost, what in ((self.dropped, "dropped"), (self.cut, "cut off")):
            if lost:
                message(
                    f"{len(lost)} of {self.rows} rows held out are {what} at max_length: "
                    f"{named(lost, place)}"
                )

    def counts(self) -> dict[str, int]:
        """What a run's summary says of it."""
        kept = self.rows - len(self.dropped)
        return {"rows": kept, "rows_dropped": len(self.dropped), "rows_cut": len(self.cut)}


def named(rows: Sequence[int], place: Callable[[int], str]) -> str:
    """The places of the first few rows."""
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(place(row) for row in rows[:NAMED]) + more


def column_lengths(dataset: Any, column: str) -> Any:
    """The length of each list in a column of a data set, without making Python lists of it."""
    import pyarrow.compute

    lists = dataset.with_format("arrow")[:][column] if len(dataset) else []
    return np.asarray(pyarrow.compute.list_value_length(lists)) if len(dataset) else np.zeros(0)
