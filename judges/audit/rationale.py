"""Which labels turn round when the judge reasons before it chooses, and how much surer it gets.

Two rankings of the same completions by the same judge, with and without a rationale. A label that
turns says that the two ways of asking disagree, not which is right: a judge card of each tells.
Source: Bai et al. 2022, 4.3: a rationale drives probabilities to 0 and 1.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from judges.audit.pairs import log_odds
from judges.calibration.estimates import Estimate, FloatArray, mean_estimate, share_estimate
from judges.errors import DataError
from judges.records import Record

ALL = "all principles"


class RationaleFlips(Record):
    """How a rationale changes the labels of one principle, or of all together."""

    principle: str
    """Its id, or `all principles`."""
    flips: Estimate
    """Share of pairs whose better side turns round; a tie on either side is half a turn."""
    surer: Estimate
    """How many logits further from even the label with the rationale is, on average."""


def measure_rationale(
    rankings: Iterable[Mapping[str, Any]], without: Iterable[Mapping[str, Any]], seed: int = 0
) -> list[RationaleFlips]:
    """The flips of all principles together, then of each, over pairs that both rankings scored.

    Raises: DataError when the two share no pair of the same completions.
    """
    plain = {str(line["id"]): line for line in without}
    told: dict[str, list[tuple[int, FloatArray]]] = defaultdict(list)
    for number, line in enumerate(rankings):
        other = plain.get(str(line["id"]))
        if other is None or not _same(line, other):
            continue
        for name, first, second in _matrices(line, other):
            told[name].append((number, _logits(first, second)))
    found = [_flips(name, rows, seed) for name, rows in told.items()]
    kept = [one for one in found if one is not None]
    if not kept:
        raise DataError(
            "the two rankings share no scored pair; rank the same completions with the judge once "
            "with and once without reasoning"
        )
    return kept


def _same(line: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(line.get(key) == other.get(key) for key in ("prompt", "completions"))


def _matrices(
    line: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[Any], Sequence[Any]]]:
    if line["p"] and other["p"]:
        yield ALL, line["p"], other["p"]
    for name, votes in line["principles"].items():
        if name in other["principles"]:
            yield name, votes["p"], other["principles"][name]["p"]


def _logits(first: Sequence[Any], second: Sequence[Any]) -> FloatArray:
    """Log-odds of the pairs that both scored, with the rationale and without. Shapes: (n, 2)."""
    p_2GG = np.array([first, second], dtype=np.float64)
    p_n2 = p_2GG[:, *np.triu_indices(p_2GG.shape[1], 1)].T
    return log_odds(p_n2[~np.isnan(p_n2).any(axis=1)])


def _flips(name: str, rows: Sequence[tuple[int, FloatArray]], seed: int) -> RationaleFlips | None:
    groups = [number for number, logits in rows for _ in logits]
    if not groups:
        return None
    with_it, without = np.concatenate([logits for _, logits in rows]).T
    agreement = np.sign(with_it) * np.sign(without)
    return RationaleFlips(
        principle=name,
        flips=share_estimate((1 - agreement) / 2, groups),
        surer=mean_estimate(np.abs(with_it) - np.abs(without), groups, seed=seed),
    )
