"""A rankings file as diagnostics read it: ballots and slices of all lines, texts of a few."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import IntArray, group_numbers
from judges.errors import DataError
from judges.jsonl import parse_line, read_lines
from judges.ranking_files import ballot_in
from judges.suggest import did_you_mean
from judges.tally import Ballot

USUAL_SLICE = "subset"
"""What parts the data where it is there; another column is asked for, so it must be."""


class _Line(msgspec.Struct):
    """What is read of every line; matrices and texts are passed over."""

    id: str
    votes: dict[str, Any]
    metadata: dict[str, Any] = {}
    p: list[list[float | None]] = []


@dataclass(frozen=True)
class Run:
    """The rankings of a file, or some of them, in its order."""

    path: Path
    ballots: tuple[Ballot, ...]
    slices: tuple[str, ...]
    """The part of the data each ranking belongs to; empty where its metadata names none."""
    nearness: Floats
    """|p - 0.5| of each ranking's pair that is nearest to a tie; NaN where none is scored."""
    places: tuple[int, ...]
    """Which line of the file each ranking is, from 0."""

    @cached_property
    def groups(self) -> IntArray:
        """Number of each ranking's prompt."""
        return group_numbers([one.conversation for one in self.ballots], len(self.ballots))

    def only(self, rankings: Sequence[int]) -> "Run":
        """Some of the rankings."""
        return replace(
            self,
            ballots=tuple(self.ballots[row] for row in rankings),
            slices=tuple(self.slices[row] for row in rankings),
            nearness=self.nearness[list(rankings)],
            places=tuple(self.places[row] for row in rankings),
        )

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each ranking's line."""
        wanted = iter(self.places)
        place = next(wanted, None)
        for at, line in enumerate(read_lines(self.path)):
            if at == place:
                yield line
                place = next(wanted, None)


def read_run(path: Path, slice_column: str = USUAL_SLICE) -> Run:
    """Where the votes of every ranking lie. Raises: DataError naming file and line."""
    ballots, slices, near = [], [], []
    columns: set[str] = set()
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            found = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(
                f"{where}: no ranking line ({error}); make it with `charter rank`"
            ) from None
        ballot = ballot_in({"id": found.id, "votes": found.votes})
        if ballot is None:
            raise DataError(
                f"{where}: `votes` does not say where the votes lie; make the file with "
                "`charter rank`"
            )
        ballots.append(ballot)
        columns |= found.metadata.keys()
        part = found.metadata.get(slice_column)
        slices.append("" if part is None else str(part))
        gaps = [abs(p - 0.5) for i, row in enumerate(found.p) for p in row[:i] if p is not None]
        near.append(min(gaps, default=float("nan")))
    if not ballots:
        raise DataError(f"{path}: no line in it; rank some prompts with `charter rank`")
    if slice_column != USUAL_SLICE and slice_column not in columns:
        known = ", ".join(sorted(columns)) or "none"
        hint = did_you_mean(slice_column, columns) or f"; metadata in it: {known}"
        raise DataError(f"{path}: no line has metadata {slice_column!r}{hint}")
    return Run(path, tuple(ballots), tuple(slices), np.array(near), tuple(range(len(ballots))))


def read_texts(run: Run, rankings: Collection[int]) -> dict[int, dict[str, Any]]:
    """The whole lines of some rankings, by their place in the run."""
    wanted = set(rankings)
    return {
        place: parse_line(line, f"{run.path}:{number}")
        for place, (number, line) in enumerate(run.lines())
        if place in wanted
    }


_decode = msgspec.json.Decoder(_Line).decode
