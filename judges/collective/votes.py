"""Votes of people on statements, read from CSV in long or wide form, and the statements' texts.

| form | columns |
|---|---|
| long | `participant`, `statement`, `vote`; others are passed over |
| wide | `participant`, then one column a statement; Polis's own summary columns are passed over |

A vote is agree, disagree or pass, or 1, -1 or 0; an empty cell was not put to the participant.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.errors import DataError
from judges.jsonl import read_text
from judges.records import Record
from judges.suggest import did_you_mean

VOTES = {
    **dict.fromkeys(("agree", "yes", "1", "+1", "1.0"), 1.0),
    **dict.fromkeys(("disagree", "no", "-1", "-1.0"), -1.0),
    **dict.fromkeys(("pass", "unsure", "0", "0.0"), 0.0),
}
NAMED = ("agree", "disagree", "pass")
LONG = ("participant", "statement", "vote")
SUMMARY = (
    "group-id", "n-comments", "n-votes", "n-agree", "n-disagree", "xid", "group",
)  # fmt: skip
STATEMENT_NAMES = ("statement", "id", "comment-id")
TEXT_NAMES = ("text", "comment-body", "comment_text")


class Statement(Record):
    """What people voted on."""

    id: str
    """As the votes name it."""
    text: str
    """The statement in words."""
    family: str | None = None
    """What it is about, where the file says so."""


@dataclass(frozen=True)
class GroupVotes:
    """The votes of P participants on S statements."""

    participants: tuple[str, ...]
    statements: tuple[str, ...]
    votes: FloatArray
    """(P, S): 1 agree, -1 disagree, 0 pass, NaN not seen."""


def read_votes(path: Path) -> GroupVotes:
    """The votes of a file. Raises: DataError naming file and line."""
    rows = _rows(path)
    number, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    if set(LONG) <= set(names):
        return _long(path, names, rows)
    if names[:1] == ["participant"]:
        return _wide(path, [name.strip() for name in header], rows)
    hint = did_you_mean(names[0], LONG) if names else ""
    raise DataError(
        f"{path}:{number}: the first line names the columns {', '.join(names) or '(none)'}{hint}; "
        "use participant,statement,vote, or participant and one column a statement"
    )


def read_statements(path: Path) -> list[Statement]:
    """The statements of a CSV with `statement` and `text` (Polis: comment-id, comment-body).

    Raises: DataError naming file and line.
    """
    rows = _rows(path)
    number, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    identity = next((name for name in STATEMENT_NAMES if name in names), None)
    words = next((name for name in TEXT_NAMES if name in names), None)
    if identity is None or words is None:
        raise DataError(
            f"{path}:{number}: the columns are {', '.join(names) or '(none)'}; `statement` and "
            "`text` are needed"
        )
    found: dict[str, tuple[int, Statement]] = {}
    for number, row in rows:
        cells = _cells(path, number, names, row)
        statement = Statement(
            id=cells[identity],
            text=" ".join(cells[words].split()),
            family=cells.get("family") or None,
        )
        if not statement.id or not statement.text:
            raise DataError(f"{path}:{number}: the statement has no id or no text; fill both in")
        if statement.id in found:
            raise DataError(
                f"{path}:{number}: statement {statement.id!r} stands on line "
                f"{found[statement.id][0]} too; give each its own id"
            )
        found[statement.id] = (number, statement)
    if not found:
        raise DataError(f"{path}: no statement in it")
    return [statement for _, statement in found.values()]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it ends on; blank ones are passed over."""
    text = read_text(path).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no CSV ({error}); check its quotes") from None


def _cells(path: Path, number: int, names: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    if len(row) != len(names):
        raise DataError(
            f"{path}:{number}: {len(row)} cells for {len(names)} columns; quote texts with commas"
        )
    return {name: cell.strip() for name, cell in zip(names, row, strict=True)}


def _long(path: Path, names: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> GroupVotes:
    found: dict[tuple[str, str], float] = {}
    lines: dict[tuple[str, str], int] = {}
    for number, row in rows:
        cells = _cells(path, number, names, row)
        key = (cells["participant"], cells["statement"])
        if not all(key):
            raise DataError(f"{path}:{number}: participant or statement is empty; fill both in")
        if key in lines:
            raise DataError(
                f"{path}:{number}: {key[0]!r} votes on {key[1]!r} on line {lines[key]} too; keep "
                "one vote"
            )
        lines[key] = number
        vote = _vote(cells["vote"], f"{path}:{number}")
        if vote is not None:
            found[key] = vote
    return _matrix(path, found)


def _wide(path: Path, header: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> GroupVotes:
    statements = [name for name in header[1:] if name.lower() not in SUMMARY]
    repeated = {name for name in statements if statements.count(name) > 1}
    if repeated:
        raise DataError(f"{path}:1: column {min(repeated)!r} is there twice; remove one")
    found: dict[tuple[str, str], float] = {}
    lines: dict[str, int] = {}
    for number, row in rows:
        cells = _cells(path, number, header, row)
        who = cells[header[0]]
        if who in lines or not who:
            what = f"stands on line {lines[who]} too" if who else "is empty"
            raise DataError(f"{path}:{number}: participant {who!r} {what}; give each one row")
        lines[who] = number
        for name in statements:
            vote = _vote(cells[name], f"{path}:{number}: column {name!r}")
            if vote is not None:
                found[who, name] = vote
    return _matrix(path, found)


def _vote(cell: str, where: str) -> float | None:
    """A cell as a number; None for one that is empty."""
    word = cell.strip().lower()
    if not word or word == "nan":
        return None
    if word not in VOTES:
        hint = did_you_mean(word, NAMED)
        raise DataError(
            f"{where}: vote is {cell!r}{hint}; use agree, disagree or pass, or 1, -1 or 0"
        )
    return VOTES[word]


def _order(name: str) -> tuple[float, str]:
    """Numbers by size, then names by letters."""
    return (float(name) if name.isdecimal() else math.inf, name)


def _matrix(path: Path, found: Mapping[tuple[str, str], float]) -> GroupVotes:
    """The order of lines does not matter, so that it cannot change a result."""
    if not found:
        raise DataError(f"{path}: no vote in it; expected one line a vote, or one a participant")
    participants = sorted({who for who, _ in found}, key=_order)
    statements = sorted({what for _, what in found}, key=_order)
    row = {name: index for index, name in enumerate(participants)}
    column = {name: index for index, name in enumerate(statements)}
    votes = np.full((len(participants), len(statements)), np.nan)
    for (who, what), vote in found.items():
        votes[row[who], column[what]] = vote
    return GroupVotes(tuple(participants), tuple(statements), votes)
