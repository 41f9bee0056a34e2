"""Rule-based rewards over score lines: weights fitted to a ranking, and the reward they give.

Source: Mu et al. 2024, arXiv:2411.01111, section 4.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.errors import DataError
from judges.jsonl import read_jsonl
from judges.propositions.fit import Fitting, fit_weights, ranked_pairs
from judges.propositions.weights import PropositionWeights

DECIMALS = 6


def statement_names(line: Mapping[str, Any]) -> list[str]:
    """`principle/statement` of every statement in a score line, in order."""
    return [
        f"{principle}/{name}"
        for principle, part in line["principles"].items()
        for name in part.get("statements", {})
    ]


def phi_of(line: Mapping[str, Any], names: Sequence[str]) -> FloatArray:
    """P(yes) of each completion and statement; NaN where missing. (N, F)

    Raises: DataError when the line lacks a statement.
    """
    told = {
        f"{principle}/{name}": values
        for principle, part in line["principles"].items()
        for name, values in part.get("statements", {}).items()
    }
    lacking = [name for name in names if name not in told]
    if lacking:
        raise DataError(
            f"scores of {line['id']!r} have no statement {lacking[0]!r}; score the items under the "
            "constitution that the weights were fitted for"
        )
    return np.array([told[name] for name in names], dtype=np.float64).T


def rewards(line: Mapping[str, Any], weights: PropositionWeights) -> list[float | None]:
    """The reward of each completion of a score line; None where an answer is missing."""
    values = weights.score(phi_of(line, weights.names)).tolist()
    return [round(value, DECIMALS) if value == value else None for value in values]


def fit_to_rankings(scores: Path, rankings: Path, seed: int) -> PropositionWeights:
    """Weights under which statements order completions as the rankings do.

    Raises: DataError when no line is in both files, or no pair is left to fit.
    """
    ranked = {str(row["id"]): row for _, row in read_jsonl(rankings)}
    phi: list[FloatArray] = []
    ranks: list[int] = []
    groups: list[str] = []
    names: list[str] | None = None
    for number, line in read_jsonl(scores):
        row = ranked.get(str(line["id"]))
        if row is None:
            continue
        if row.get("completions") != line["completions"]:
            raise DataError(
                f"{scores}:{number}: item {line['id']!r} has other completions in {rankings}; "
                "score and rank the same file"
            )
        names = names or statement_names(line)
        phi.append(phi_of(line, names))
        ranks += _ranks(row, len(line["completions"]))
        groups += [str(line["id"])] * len(line["completions"])
    if not names:
        raise DataError(
            f"{scores}: no item of {rankings} with statements in it; add `propositions` to the "
            "constitution, and score the ranked items"
        )
    pairs = ranked_pairs(groups, ranks)
    return fit_weights(np.concatenate(phi), names, pairs, groups, fitting=Fitting(seed=seed))


def _ranks(row: Mapping[str, Any], size: int) -> list[int]:
    """The rank of each completion, 0 the best; ties share one, -1 is unranked."""
    ranks = [-1] * size
    tied = {
        index: min(map(row["ranking"].index, group))
        for group in row["tie_groups"]
        for index in group
    }
    for place, index in enumerate(row["ranking"]):
        ranks[index] = tied.get(index, place)
    return ranks
