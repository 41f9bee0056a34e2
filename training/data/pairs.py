"""The pairs of a run, ready for a trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from judges.formats.left_out import all_ties
from judges.formats.pairs import EVEN
from training.data.columns import as_dataset
from training.data.preferences import Labels, PreferencePair, read_preferences
from training.data.recipe import DataRecipe
from training.data.selection import RowData, row_key, select_rows
from training.data.sources import DataSource


@dataclass
class PairData(RowData[PreferencePair]):
    """Pairs to train on and pairs held out."""

    def dataset(self, pairs: list[PreferencePair]) -> Any:
        """TRL's columns with ours, as a data set of the datasets library."""

        def columns(some: Sequence[PreferencePair]) -> dict[str, list[Any]]:
            return {
                "prompt": [list(pair.prompt) for pair in some],
                "chosen": [list(pair.chosen) for pair in some],
                "rejected": [list(pair.rejected) for pair in some],
                "p_chosen": [pair.p_chosen for pair in some],
                "weight": [pair.weight for pair in some],
            }

        return as_dataset(pairs, columns).add_column("row", self.numbers(pairs))

    def weights_left_aside(self, why: str) -> list[str]:
        """What is said where a method takes no weights; empty where no row asks for one."""
        rows = [pair for pair in (*self.train, *self.held_out) if pair.weight != 1]
        if not rows:
            return []
        told = f"{len(rows)} rows have a `weight`, such as {rows[0].place}, which is left aside"
        return [f"{told}: {why}"]


def load_pairs(
    sources: Sequence[DataSource],
    labels: Labels,
    clamp: tuple[float, float],
    recipe: DataRecipe,
) -> PairData:
    """The pairs of all sources. Raises: DataError for faulty rows, or too many lost ones."""
    data = select_rows(
        sources, lambda source: read_preferences(source, labels, clamp), recipe, _copies
    )
    if all(pair.p_chosen == EVEN for pair in data.train):
        raise all_ties(data.used[0].path, len(data.train))
    return PairData(data.used, data.train, data.held_out, data.told)


def _copies(pairs: Sequence[PreferencePair]) -> tuple[list[int], list[int]]:
    """Pairs that repeat an earlier one, label and all; pairs that call the other side better."""
    labels: set[bytes] = set()
    sides: set[bytes] = set()
    again, against = [], []
    for number, pair in enumerate(pairs):
        texts, p = _unordered(pair)
        label, side, other = texts + repr(p).encode(), texts + b"<", texts + b">"
        if p > EVEN:
            side, other = other, side
        if label in labels:
            again.append(number)
        elif p != EVEN and other in sides:
            against.append(number)
        labels.add(label)
        if p != EVEN:
            sides.add(side)
    return again, against


def _unordered(pair: PreferencePair) -> tuple[bytes, float]:
    """A key of the texts, and the label of the one that sorts first: (a, b, p) is (b, a, 1 - p)."""
    one, other = row_key(pair.chosen), row_key(pair.rejected)
    first, second = min(one, other), max(one, other)
    p = pair.p_chosen if first == one else 1 - pair.p_chosen
    return row_key(pair.prompt, first.hex(), second.hex()), round(p, 9)
