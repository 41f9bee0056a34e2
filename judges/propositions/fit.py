"""Weights of statements fitted to ranked completions: what each is worth, judged on other prompts.

Source: Mu et al. 2024, section 4; the same loss, solved as the convex problem it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from judges.calibration.cross_validation import grouped_folds, splits
from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    IntArray,
    group_numbers,
    share_estimate,
)
from judges.errors import DataError
from judges.propositions.hinge import ROUNDINGS, fit_hinge
from judges.propositions.weights import PropositionWeights

FOLDS = 20
"""A fold holds out a twentieth of the prompts, as the paper's 95/5 split does, and each is once."""


class Fitting(NamedTuple):
    """How weights are fitted; defaults as in the paper where it has them."""

    margin: float = 1.0
    """How far the better completion should be ahead."""
    l2: float = 1e-3
    """The paper has none; a little makes the answer unique. Above 0."""
    folds: int = FOLDS
    """Parts of the prompts, held out in turn; fewer where there are fewer prompts."""
    seed: int = 0
    """Puts the prompts into folds."""


class _Pairs(NamedTuple):
    differences_PF: FloatArray
    targets_P: FloatArray
    prompt_P: IntArray


def ranked_pairs(groups: Groups, ranks: Sequence[int] | IntArray) -> IntArray:
    """The ordered pairs of completions of one prompt, better first, by rank: 0 is the best.

    Equal ranks make no pair, nor does a negative rank, which says that none is known.
    Shapes: (N,), (N,) → (P, 2), indices of completions.
    """
    rank_N = np.asarray(ranks, dtype=np.int64)
    numbers_N = group_numbers(groups, len(rank_N))
    order = np.argsort(numbers_N, kind="stable")
    borders = np.flatnonzero(np.diff(numbers_N[order])) + 1
    found = [np.empty((0, 2), dtype=np.int64)]
    for members in np.split(order, borders):
        known = members[rank_N[members] >= 0]
        better, worse = np.nonzero(rank_N[known][:, None] < rank_N[known][None, :])
        found.append(np.column_stack([known[better], known[worse]]))
    return np.concatenate(found)


def fit_weights(
    phi_NF: FloatArray,
    names: Sequence[str],
    pairs_P2: IntArray,
    groups: Groups,
    *,
    base_N: FloatArray | None = None,
    signs: Sequence[int] | None = None,
    fitting: Fitting | None = None,
) -> PropositionWeights:
    """Weights for which the better completion of each pair is a margin ahead, as far as they can.

    `groups` names each completion's prompt. `signs`, one a statement: 1 keeps its weight from 0
    up, −1 from 0 down, 0 leaves it free. Ranking is judged out of fold, prompts whole.
    Shapes: (N, F), F names, (P, 2), (N,).
    Cost: no model call; a fit for each fold and one over all.
    Raises: DataError when no pair has all its answers, or shapes do not fit.
    """
    fitting = fitting or Fitting()
    signs_F = np.zeros(len(names)) if signs is None else np.asarray(signs, dtype=np.float64)
    _refuse_misfit(phi_NF, names, signs_F, fitting)
    pairs, unscored = _usable_pairs(phi_NF, pairs_P2, groups, base_N, fitting.margin)
    fit = fit_hinge(pairs.differences_PF, pairs.targets_P, fitting.l2, signs_F)
    ahead_P = pairs.differences_PF @ fit.weights_F
    prompts = int(pairs.prompt_P.max()) + 1
    folds = min(fitting.folds, prompts) if prompts > 1 else 0
    held_P = _out_of_fold(pairs, signs_F, fitting, folds) if folds else None
    return PropositionWeights(
        names=tuple(names),
        weights=tuple(np.round(fit.weights_F, 9).tolist()),
        margin=fitting.margin,
        l2=fitting.l2,
        with_base_reward=base_N is not None,
        pairs=len(pairs.targets_P),
        pairs_unscored=unscored,
        prompts=prompts,
        loss=fit.loss,
        gap=fit.gap,
        frac_clipped=_clipped(ahead_P, pairs),
        accuracy=_accuracy(ahead_P, pairs, fitting.margin),
        held_out_frac_clipped=None if held_P is None else _clipped(held_P, pairs),
        held_out_accuracy=None if held_P is None else _accuracy(held_P, pairs, fitting.margin),
        folds=folds,
        seed=fitting.seed,
    )


def ranking_accuracy(scores_N: FloatArray, pairs_P2: IntArray, groups: Groups) -> Estimate:
    """Share of pairs that scores rank right, a tie a half: how given weights do on the same pairs.

    Pairs without both scores are left out. Raises: DataError when none is left.
    """
    ahead_P = scores_N[pairs_P2[:, 0]] - scores_N[pairs_P2[:, 1]]
    there = ~np.isnan(ahead_P)
    prompt_P = group_numbers(groups, len(scores_N))[pairs_P2[:, 0]]
    return share_estimate(0.5 + 0.5 * np.sign(ahead_P[there]), prompt_P[there])


def _usable_pairs(
    phi_NF: FloatArray, pairs_P2: IntArray, groups: Groups, base_N: FloatArray | None, margin: float
) -> tuple[_Pairs, int]:
    """The pairs with all answers, and how many are not; the base reward moves the targets."""
    base = np.zeros(len(phi_NF)) if base_N is None else np.asarray(base_N, dtype=np.float64)
    better, worse = pairs_P2[:, 0], pairs_P2[:, 1]
    differences_PF = phi_NF[better] - phi_NF[worse]
    ahead_P = base[better] - base[worse]
    there = ~(np.isnan(differences_PF).any(axis=1) | np.isnan(ahead_P))
    if not there.any():
        raise DataError(
            f"none of {len(there)} pairs has all its answers; rank more completions of one prompt, "
            "or look why answers are missing"
        )
    prompt_N = group_numbers(groups, len(phi_NF))
    if (prompt_N[better] != prompt_N[worse]).any():
        at = int(np.argmax(prompt_N[better] != prompt_N[worse]))
        raise DataError(f"pair {at}: completions of two prompts; pair those of one prompt")
    prompt_P = prompt_N[better][there]
    again = group_numbers(prompt_P, len(prompt_P))
    pairs = _Pairs(differences_PF[there], margin - ahead_P[there], again)
    return pairs, int((~there).sum())


def _refuse_misfit(
    phi_NF: FloatArray, names: Sequence[str], signs_F: FloatArray, fitting: Fitting
) -> None:
    if phi_NF.shape[1] != len(names) or signs_F.shape != (len(names),):
        raise DataError(
            f"phi of shape {phi_NF.shape} and signs {signs_F.shape} for {len(names)} names; "
            "give one a statement"
        )
    if not (fitting.l2 > 0 and fitting.margin > 0 and fitting.folds >= 2):
        raise DataError(
            f"margin {fitting.margin}, l2 {fitting.l2}, folds {fitting.folds}: "
            "margin and l2 must be above 0, folds 2 or more"
        )


def _out_of_fold(pairs: _Pairs, signs_F: FloatArray, fitting: Fitting, folds: int) -> FloatArray:
    """How far the better completion is ahead by weights that saw no pair of its prompt."""
    ahead_P = np.empty(len(pairs.targets_P))
    fold_P = grouped_folds(pairs.prompt_P, len(ahead_P), folds=folds, seed=fitting.seed)
    for seen, held in splits(fold_P):
        fit = fit_hinge(pairs.differences_PF[seen], pairs.targets_P[seen], fitting.l2, signs_F)
        ahead_P[held] = pairs.differences_PF[held] @ fit.weights_F
    return ahead_P


def _clipped(ahead_P: FloatArray, pairs: _Pairs) -> Estimate:
    """Many pairs end exactly at the margin, within what the fit rounds."""
    reached = pairs.targets_P - ahead_P <= ROUNDINGS[-1]
    return share_estimate(reached.astype(np.float64), pairs.prompt_P)


def _accuracy(ahead_P: FloatArray, pairs: _Pairs, margin: float) -> Estimate:
    whole_P = ahead_P + margin - pairs.targets_P
    return share_estimate(0.5 + 0.5 * np.sign(whole_P), pairs.prompt_P)
