"""From phi = P(yes) to a score: the mean that a constitution states, or a sum with fitted weights.

A missing answer is never given a number: while the missing share of the weight is small, what is
there counts for the whole; beyond it the completion is unscored, with a reason.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import FloatArray
from judges.constitutions.constitution import Constitution, Principle, Proposition
from judges.errors import DataError
from judges.records import Reason, Record, Status

ROUNDING = 1e-12


class PropositionColumn(NamedTuple):
    """One column of phi: a statement and the principle it spells out."""

    principle: str
    """The principle's id."""
    proposition: Proposition
    """The statement, the answer that speaks for the completion, its weight."""

    @property
    def name(self) -> str:
        """`principle/proposition`, unique in a constitution."""
        return f"{self.principle}/{self.proposition.id}"


class PropositionScore(Record):
    """How far one completion does what a constitution's statements say."""

    status: Status
    """`scored`, or `unscored` with a reason."""
    reason: Reason | None = None
    """`missing_vote`: too much weight, or a hard principle, is without an answer."""
    score: float | None
    """Weighted mean over principles, 0 to 1; higher is better."""
    principles: dict[str, float | None]
    """Each principle's mean probability of the expected answers; None where unscored."""
    propositions: dict[str, float | None]
    """P(yes) of each statement, by `principle/proposition`; None where missing."""


def proposition_columns(constitution: Constitution) -> tuple[PropositionColumn, ...]:
    """The statements of a constitution in order: the columns that phi must have."""
    return tuple(
        PropositionColumn(principle.id, proposition)
        for principle in constitution.principles
        for proposition in principle.propositions
    )


def as_expected(phi_NF: FloatArray, propositions: Sequence[Proposition]) -> FloatArray:
    """P(the expected answer): phi where yes is expected, 1 − phi where no is."""
    expect_F = np.array([proposition.expect for proposition in propositions], dtype=bool)
    return np.where(expect_F, phi_NF, 1 - phi_NF)


def weighted_mean(
    values_NK: FloatArray, weights: npt.ArrayLike, min_weight: float = 1.0
) -> FloatArray:
    """The mean over what is there; NaN where less than `min_weight` of the weight is there.

    Where nothing weighs there is nothing to say, and so NaN.
    Shapes: (N, K), weights from 0 up (K,) or (N, K) → (N,).
    """
    weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), values_NK.shape)
    there = ~np.isnan(values_NK)
    whole, held = weight.sum(axis=1), (weight * there).sum(axis=1)
    total = (weight * np.where(there, values_NK, 0.0)).sum(axis=1)
    enough = (held > 0) & (held >= min_weight * whole - ROUNDING)
    return np.asarray(np.divide(total, held, out=np.full(len(values_NK), np.nan), where=enough))


def weighted_sum(
    phi_NF: FloatArray,
    weights: npt.ArrayLike,
    base_N: FloatArray | None = None,
    min_weight: float = 1.0,
) -> FloatArray:
    """base + Σ w·phi, weights of either sign; NaN where unscored, a missing base included.

    Strict by default: one missing answer with a weight makes it unscored. With a lower
    `min_weight` the sum over what is there is scaled up to the whole of |w|.
    Shapes: (N, F), (F,), (N,) → (N,). Source: Mu et al. 2024, equation 1.
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != phi_NF.shape[1:]:
        raise DataError(f"{w.shape} weights for phi of shape {phi_NF.shape}; give one a column")
    size = np.abs(w)
    if size.sum() == 0:
        total = np.zeros(len(phi_NF))
    else:
        total = size.sum() * weighted_mean(np.sign(w) * phi_NF, size, min_weight)
    return total if base_N is None else total + base_N


def principle_scores(phi_NF: FloatArray, constitution: Constitution) -> FloatArray:
    """Each principle's mean probability of the expected answers; NaN where unscored or unstated.

    Shapes: (N, F) → (N, P), over all principles: one without statements is NaN, and a caller may
    put another score of it there, such as a rule's.
    """
    columns = proposition_columns(constitution)
    _refuse_other_columns(phi_NF, columns, constitution)
    expected_NF = as_expected(phi_NF, [column.proposition for column in columns])
    scores_NP = np.full((len(phi_NF), len(constitution.principles)), np.nan)
    for number, principle in enumerate(constitution.principles):
        inside = [f for f, column in enumerate(columns) if column.principle == principle.id]
        if inside:
            scores_NP[:, number] = weighted_mean(
                expected_NF[:, inside],
                [columns[f].proposition.weight for f in inside],
                constitution.aggregate.min_weight,
            )
    return scores_NP


def combined_scores(
    scores_NP: FloatArray,
    principles: Sequence[Principle],
    min_weight: float,
    applies_NP: FloatArray | None = None,
) -> FloatArray:
    """The mean over principles, weights times P(applies); NaN where unscored.

    A hard principle in scope without a score makes the completion unscored, as does too little
    weight. Tiers do not outrank each other here: a score has no opponent to be decisive against.
    Shapes: (N, P) → (N,).
    """
    applies_NP = np.ones_like(scores_NP) if applies_NP is None else applies_NP
    scope_NP = np.where(np.isnan(applies_NP), 1.0, applies_NP)
    there_NP = np.where(np.isnan(applies_NP), np.nan, scores_NP)
    weight_NP = scope_NP * np.array([principle.weight for principle in principles])
    hard_P = np.array([principle.tier == "hard" for principle in principles], dtype=bool)
    lacks_hard_N = (np.isnan(there_NP) & (weight_NP > 0))[:, hard_P].any(axis=1)
    mean_N = weighted_mean(there_NP, weight_NP, min_weight)
    return np.where(lacks_hard_N, np.nan, mean_N)


def score_completions(
    constitution: Constitution, phi_NF: FloatArray, applies_NP: FloatArray | None = None
) -> list[PropositionScore]:
    """One score a completion, over the principles that have statements.

    Shapes: (N, F) in the order of `proposition_columns`; applies (N, P) over all principles.
    """
    scores_NP = principle_scores(phi_NF, constitution)
    stated = [p for p, principle in enumerate(constitution.principles) if principle.propositions]
    principles = [constitution.principles[p] for p in stated]
    scores_NP = scores_NP[:, stated]
    scope_NP = None if applies_NP is None else applies_NP[:, stated]
    combined_N = combined_scores(scores_NP, principles, constitution.aggregate.min_weight, scope_NP)
    names = [column.name for column in proposition_columns(constitution)]
    ids = [principle.id for principle in principles]
    rows = zip(combined_N.tolist(), _numbers(scores_NP), _numbers(phi_NF), strict=True)
    return [
        PropositionScore(
            status="scored" if score == score else "unscored",
            reason=None if score == score else "missing_vote",
            score=score if score == score else None,
            principles=dict(zip(ids, of_principles, strict=True)),
            propositions=dict(zip(names, answers, strict=True)),
        )
        for score, of_principles, answers in rows
    ]


def _numbers(values: FloatArray) -> list[list[float | None]]:
    return [[value if value == value else None for value in row] for row in values.tolist()]


def _refuse_other_columns(
    phi_NF: FloatArray, columns: Sequence[PropositionColumn], constitution: Constitution
) -> None:
    if not columns:
        raise DataError(
            f"{constitution.reference}: no principle has propositions, so nothing can be scored; "
            "add `propositions: [{id: …, text: …}]` to a principle"
        )
    if phi_NF.ndim != 2 or phi_NF.shape[1] != len(columns):
        raise DataError(f"phi has shape {phi_NF.shape}; one column a statement, {len(columns)}")
