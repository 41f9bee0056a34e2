"""A rankings file as diagnostics read it: ballots and slices of all lines, texts of a few."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from judges.errors import DataError
from judges.jsonl import parse_line, read_lines
from judges.ranking_files import ballot_in
from judges.tally import Ballot


class _Line(msgspec.Struct):
    """What is read of every line; matrices and texts are passed over."""

    id: str
    votes: dict[str, Any]
    metadata: dict[str, Any] = {}


@dataclass(frozen=True)
class Run:
    """The rankings of a file, in its order."""

    path: Path
    ballots: tuple[Ballot, ...]
    slices: tuple[str, ...]
    """The part of the data each ranking belongs to; empty where its metadata names none."""


def read_run(path: Path, slice_column: str = "subset") -> Run:
    """Where the votes of every ranking lie. Raises: DataError naming file and line."""
    ballots, slices = [], []
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
        part = found.metadata.get(slice_column)
        slices.append("" if part is None else str(part))
    if not ballots:
        raise DataError(f"{path}: no line in it; rank some prompts with `charter rank`")
    return Run(path, tuple(ballots), tuple(slices))


def read_texts(run: Run, rankings: Collection[int]) -> dict[int, dict[str, Any]]:
    """The whole lines of some rankings, by their place in the run."""
    wanted = set(rankings)
    return {
        place: parse_line(line, f"{run.path}:{number}")
        for place, (number, line) in enumerate(read_lines(run.path))
        if place in wanted
    }


_decode = msgspec.json.Decoder(_Line).decode
