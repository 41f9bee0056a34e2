"""Recorded verdicts of real judges on LLMBar, as a panel's logits: calibration without a GPU."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from judges.calibration.estimates import Estimate, FloatArray, share_estimate
from judges.errors import DataError
from judges.jsonl import parse_line

FILE = Path("llmbar") / "recorded_verdicts.jsonl.gz"
PSEUDO = 0.5
WINNERS = {1: 1.0, 2: 0.0, None: float("nan")}


class RecordedVerdicts(NamedTuple):
    """Verdicts of J judges on n pairs in both orders."""

    judges: tuple[str, ...]
    """`MODEL/PROMPT_STYLE`, in alphabetical order."""
    ids: tuple[str, ...]
    """The pairs; each has a prompt of its own."""
    labels: FloatArray
    """1 where people prefer the first completion, 0 where the second. Shape (n,)."""
    votes: FloatArray
    """1 for the first completion, 0 for the second, NaN: no parsable verdict. Shape (J, n, 2)."""


def read_recorded(folder: Path) -> RecordedVerdicts:
    """The verdicts in `FOLDER/llmbar/recorded_verdicts.jsonl.gz`.

    Raises: DataError when the file is absent, a line is not as it should be, or comes twice.
    """
    path = folder / FILE
    votes: dict[tuple[str, str], tuple[float, float]] = {}
    labels: dict[str, float] = {}
    for where, row in _rows(path):
        item, label = _text(row, "id", where), _winner(row, "preferred", where)
        key = (f"{_text(row, 'judge', where)}/{_text(row, 'prompt_style', where)}", item)
        if key in votes or labels.setdefault(item, label) != label:
            raise DataError(f"{where}: {key} comes twice or with another label; keep one")
        votes[key] = _winner(row, "winner", where), _winner(row, "winner_swapped", where)
    judges, ids = tuple(sorted({judge for judge, _ in votes})), tuple(sorted(labels))
    table = np.full((len(judges), len(ids), 2), np.nan)
    row_of, column_of = ({name: i for i, name in enumerate(names)} for names in (judges, ids))
    for (judge, item), pair in votes.items():
        table[row_of[judge], column_of[item]] = pair
    return RecordedVerdicts(judges, ids, np.array([labels[item] for item in ids]), table)


def vote_logits(votes: FloatArray) -> FloatArray:
    """The log-odds of the first completion from yes/no votes, smoothed; NaN where none is there.

    k of m votes are k + ½ of m + 1, the mean of a Beta(½, ½) prior after them: log 5 where both
    orders agree, 0 where they differ, log 3 where one order alone is parsable.
    Shapes: (…, m) → (…). Source: Jeffreys 1946 for the prior.
    """
    there = ~np.isnan(votes)
    wins = np.where(there, votes, 0.0).sum(axis=-1)
    count = there.sum(axis=-1)
    odds = np.log(wins + PSEUDO) - np.log(count - wins + PSEUDO)
    return np.where(count > 0, odds, np.nan)


def accuracy_over_orders(votes: FloatArray, labels: FloatArray) -> tuple[Estimate, int]:
    """Share of single verdicts that name the label's side, both orders pooled; how many are null.

    Each of a pair's two verdicts counts one; a null is unscored: neither right nor wrong nor in
    the denominator. The two of a pair are not independent, so that the interval's n is effective.
    Shapes: (n, 2), (n,).
    """
    there = ~np.isnan(votes)
    right = (votes == labels[:, None]).astype(np.float64)
    pairs = np.repeat(np.arange(len(labels)), 2).reshape(votes.shape)
    return share_estimate(right[there], pairs[there]), int((~there).sum())


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and object of each line of a gzipped file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; name the folder that holds {FILE.parent}/")
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path}:{number}", parse_line(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from None


def _text(row: dict[str, Any], key: str, where: str) -> str:
    if not isinstance(row.get(key), str):
        raise DataError(f"{where}: {key} is {row.get(key)!r}; it must be a text")
    return str(row[key])


def _winner(row: dict[str, Any], key: str, where: str) -> float:
    value = row.get(key, "lacking")
    if value not in WINNERS or (value is None and key == "preferred"):
        raise DataError(f"{where}: {key} is {value!r}; use 1, 2 or, for a verdict, null")
    return WINNERS[value]
