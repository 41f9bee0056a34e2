"""The rows of a run: sources mixed, freed of copies and leaks, split by prompt; each loss told."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import orjson

from judges.audit.pairs import read_prompts
from judges.errors import DataError
from judges.formats.messages import Messages
from training.data.lengths import named
from training.data.mixing import is_held_out, leaked, mix, plain_text, shares
from training.data.reading import RowSet
from training.data.recipe import DataRecipe
from training.data.sources import DataSource
from training.runs.recipe import DataUsed


class Row(Protocol):
    """What is asked of a row, whatever is learnt from it."""

    @property
    def place(self) -> str:
        """`file:line` it is from."""

    @property
    def prompt(self) -> Messages:
        """The conversation so far."""


R = TypeVar("R", bound=Row)


@dataclass
class RowData(Generic[R]):
    """Rows to train on and rows held out, with what was left out on the way."""

    used: tuple[DataUsed, ...]
    train: list[R] = field(default_factory=list)
    held_out: list[R] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What a person should know of the rows left out."""

    def place(self, row: int) -> str:
        """`file:line` of a row; those held out come after those trained on."""
        held = row - len(self.train)
        return (self.train[row] if held < 0 else self.held_out[held]).place

    def place_held_out(self, row: int) -> str:
        """`file:line` of one of the rows held out."""
        return self.held_out[row].place

    def places(self, rows: Sequence[int]) -> str:
        """`file:line` of some rows, for messages."""
        return ", ".join(map(self.place, rows))

    def numbers(self, rows: list[R]) -> list[int]:
        """The number of each row in one of the two lists, which `place` understands."""
        first = 0 if rows is self.train else len(self.train)
        return list(range(first, first + len(rows)))

    def tell(self, message: Callable[[str], None]) -> None:
        """Say what was left out."""
        for text in self.told:
            message(text)


def select_rows(
    sources: Sequence[DataSource],
    read: Callable[[DataSource], RowSet[R]],
    recipe: DataRecipe,
    copies: Callable[[Sequence[R]], tuple[list[int], list[int]]],
) -> RowData[R]:
    """The rows of all sources. `copies` finds rows that repeat, and that contradict, earlier ones.

    Raises: DataError for faulty rows, or too many lost ones.
    """
    sets = [read(source) for source in sources]
    data: RowData[R] = RowData(tuple(one.used for one in sets))
    for one in sets:
        data.told += one.left_out.check(one.used.path, len(one.rows), recipe.max_dropped)
    rows = [row for one in sets for row in one.rows]
    rows = _without_leaks(rows, recipe, data)
    rows = _without_copies(rows, recipe, copies, data)
    kept = set(map(id, rows))
    parts = [[row for row in one.rows if id(row) in kept] for one in sets]
    rows = _mixed(parts, sources, recipe, data)
    for row in rows:
        held = is_held_out(row.prompt, recipe.held_out_share)
        (data.held_out if held else data.train).append(row)
    if not data.train:
        raise DataError(
            f"held_out_share is {recipe.held_out_share}, which holds all {len(rows)} rows out"
        )
    if recipe.held_out_share and not data.held_out:
        data.told.append(
            f"held_out_share is {recipe.held_out_share:g}, which holds none of {len(rows)} rows "
            "out; raise it to measure on some"
        )
    if recipe.check_copies:
        _tell_near_prompts(data)
    return data


def _mixed(
    parts: list[list[R]], sources: Sequence[DataSource], recipe: DataRecipe, data: RowData[R]
) -> list[R]:
    """The rows that the weights leave. Raises: DataError for a set of which none is left."""
    sizes, weights = [len(part) for part in parts], [source.weight for source in sources]
    counts = shares(sizes, weights)
    least = min(range(len(sizes)), key=lambda k: sizes[k] / (weights[k] or 1.0))
    if not sizes[least] and counts != sizes:
        raise DataError(
            f"{sources[least].file}: no row is left of it, so its weight lets nothing into the "
            "mix; leave it out"
        )
    for source, size, count in zip(sources, sizes, counts, strict=True):
        if count == size:
            continue
        told = f"{source.file}: {size - count} of {size} rows are left out of the mix"
        limit = f"{sources[least].file} has {sizes[least]} rows for its weight"
        if not count:
            raise DataError(f"{told}, so none is left: {limit}; set the weights closer together")
        data.told.append(f"{told}, which keeps the weights: {limit}")
    return mix(parts, counts, recipe.seed)


def _tell_near_prompts(data: RowData[R]) -> None:
    """Say which rows to train on have a prompt that nearly equals one held out.

    They are kept: prompts made by a template all nearly equal each other.
    """
    texts = [[plain_text(row.prompt) for row in rows] for rows in (data.train, data.held_out)]
    if near := leaked(*texts):
        data.told.append(
            f"{len(near)} of {len(data.train)} rows to train on have nearly a prompt that is held "
            f"out, and are kept: {named(near, data.place)}; put what must not be trained on into "
            "keep_away"
        )


def _without_leaks(rows: list[R], recipe: DataRecipe, data: RowData[R]) -> list[R]:
    held_out: list[str] = []
    for path in recipe.keep_away:
        prompts = read_prompts(path)
        held_out += prompts
        source = DataSource(path=path)  # which rows are left depends on it: it is pinned too
        data.used += (DataUsed(path=str(source.file), sha256=source.sha256(), rows=len(prompts)),)
    lost = leaked([plain_text(row.prompt) for row in rows], held_out) if held_out else []
    return _without(rows, lost, "have a prompt that keep_away holds", data, recipe.max_dropped)


def _without_copies(
    rows: list[R],
    recipe: DataRecipe,
    copies: Callable[[Sequence[R]], tuple[list[int], list[int]]],
    data: RowData[R],
) -> list[R]:
    """Drop rows that repeat an earlier one, label and all; tell of those that say the opposite.

    Nothing is lost with a repeated row, and pairs taken apart repeat many: no limit applies.
    """
    if not recipe.check_copies:
        return rows
    again, against = copies(rows)
    if against:
        data.told.append(
            f"{len(against)} of {len(rows)} rows say the opposite of an earlier row on the same "
            f"texts, and are kept: {named(against, lambda row: rows[row].place)}"
        )
    return _without(rows, again, "repeat an earlier row", data, most=1.0)


def _without(rows: list[R], lost: list[int], why: str, data: RowData[R], most: float) -> list[R]:
    if not lost:
        return rows
    told = f"{len(lost)} of {len(rows)} rows {why}, and are dropped: " + named(
        lost, lambda row: rows[row].place
    )
    if len(lost) > most * len(rows):
        raise DataError(
            f"{told}; that is more than max_dropped = {most:g} allows: clean the data, or raise "
            "max_dropped"
        )
    data.told.append(told)
    gone = set(lost)
    return [row for number, row in enumerate(rows) if number not in gone]


def row_key(*parts: object) -> bytes:
    """A key that rows with the same content share, small enough to keep millions of."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).digest()
