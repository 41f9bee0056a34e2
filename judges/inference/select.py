"""Which candidates explain the preferences: exact arithmetic on votes, no model.

Prompts are parted in two. On the first part each candidate is screened (support, coverage, a sign
test over prompts under control of the false discovery rate), then a weighted set grows one by one
as long as out-of-fold log-likelihood rises by more than chance. The second part is only measured
on: nothing there decides anything.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from judges.calibration.cross_validation import grouped_folds, splits
from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    IntArray,
    group_numbers,
    mean_estimate,
    share_estimate,
)
from judges.calibration.metrics import correctness, losses
from judges.calibration.panel import fit_stacker
from judges.errors import DataError
from judges.inference.chance import Masks, covered, discoveries, part_pairs, sign_test
from judges.records import Probability, Record

Dropped = Literal[
    "no_votes", "low_support", "low_coverage", "no_better_than_chance", "adds_nothing", "no_weight"
]
PRESENT = 0.8
"""Share of the weight that must have a vote, as a constitution's `min_weight`."""


class SelectionSettings(Record):
    """What a candidate must show, and how it is tested."""

    relevant_from: Annotated[float, Field(ge=0)] = 0.1
    """A logit closer to 0 than this says nothing about the pair: the candidate abstains."""
    minimum_support: Annotated[int, Field(ge=1)] = 8
    """Pairs that a candidate must decide as labelled."""
    minimum_coverage: Probability = 0.02
    """Share of the pairs that a candidate must speak about."""
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Expected share of chance finds among candidates that pass the test."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts for out-of-fold likelihood; all pairs of a prompt are in one."""
    l2: Annotated[float, Field(gt=0)] = 1.0
    """Pull of the weights towards 0, with votes of root mean square 1."""
    most: Annotated[int, Field(ge=1)] = 12
    """Principles at most."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the prompts that are only measured on."""
    seed: int = 0
    """Of the parts, the folds and the bootstrap."""


class Showing(Record):
    """How a candidate does on some pairs."""

    n: int
    """Pairs that have its vote."""
    covered: int
    """Of these, pairs it speaks about."""
    support: int
    """Of these, pairs it decides as labelled."""
    coverage: Probability
    """Covered pairs as a share of all pairs."""
    accuracy: Estimate | None
    """Support as a share of the covered pairs, Wilson interval; None where it covers none."""


class Tested(Record):
    """What became of one candidate."""

    id: str
    """The candidate's."""
    selection: Showing
    """On the pairs that decided about it."""
    held_out: Showing
    """On the pairs that decided nothing."""
    p_value: Probability
    """Chance of so many prompts on its side, were each a coin toss."""
    weight: float = 0.0
    """Its weight, 0 when dropped; those kept, or the ones there before, have mean 1."""
    gain: Estimate | None = None
    """Fall of out-of-fold NLL, in nats a pair, when it joined (or last would have)."""
    dropped: Dropped | None = None
    """Why it was dropped; None: kept."""


class Selection(Record):
    """What the selection found."""

    candidates: tuple[Tested, ...]
    """Every candidate: those kept in the order they joined, then the rest as they came."""
    pairs: int
    """Pairs that selected."""
    held_out_pairs: int
    """Pairs that were only measured on."""
    held_out_accuracy: Estimate | None
    """Share decided as labelled by the weighted set, an undecided pair a half; None: no set."""
    held_out_unscored: int
    """Held-out pairs without enough votes, left out of the accuracy."""
    scale: float
    """Multiply the weighted mean logit by it for the fitted log-odds."""

    @property
    def kept(self) -> tuple[Tested, ...]:
        """The candidates kept, in the order they joined."""
        return tuple(one for one in self.candidates if one.dropped is None)


def select(
    ids: Sequence[str],
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Groups = None,
    settings: SelectionSettings | None = None,
    held_out: Masks | None = None,
    base: npt.ArrayLike | None = None,
) -> Selection:
    """The weighted set of candidates that explains the labels, and what became of each.

    Logits have both orders averaged; above 0 the candidate prefers the first completion, NaN it
    has no vote. `held_out` marks the pairs to measure on, else they are drawn. `base` are votes of
    principles that are there already: candidates join only for what they add to these.
    Shapes: (C, n), (n,) of 0 and 1, (n,); base (B, n).
    Raises: DataError for labels that are ties, or too few prompts.
    """
    settings = settings or SelectionSettings()
    votes_CN, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataError("a label is neither 0 nor 1; leave ties out, they explain nothing")
    numbers = group_numbers(groups, len(y))
    if held_out is None:
        held_out = part_pairs(numbers, len(y), held_out=settings.held_out, seed=settings.seed)
    fit = ~held_out
    tested = [
        Tested(
            id=name,
            selection=_showing(row[fit], y[fit], numbers[fit], settings.relevant_from),
            held_out=_showing(
                row[held_out], y[held_out], numbers[held_out], settings.relevant_from
            ),
            p_value=sign_test(row[fit], y[fit], numbers[fit], settings.relevant_from),
        )
        for name, row in zip(ids, votes_CN, strict=True)
    ]
    tested = _screened(tested, settings)
    open_C = [k for k, one in enumerate(tested) if one.dropped is None]
    there = np.zeros((0, len(y))) if base is None else np.asarray(base, dtype=np.float64)
    order, gains = forward(votes_CN[:, fit], y[fit], numbers[fit], open_C, settings, there[:, fit])
    return _concluded(tested, order, gains, votes_CN, y, numbers, held_out, settings, there)


def _showing(row: FloatArray, y: FloatArray, groups: IntArray, relevant_from: float) -> Showing:
    telling = covered(row, relevant_from)
    right = correctness(row[telling], y[telling])
    n = int((~np.isnan(row)).sum())
    return Showing(
        n=n,
        covered=len(right),
        support=int(right.sum()),
        coverage=len(right) / len(row) if len(row) else 0.0,
        accuracy=share_estimate(right, groups[telling]) if len(right) else None,
    )


def _screened(tested: Sequence[Tested], settings: SelectionSettings) -> list[Tested]:
    found = discoveries([one.p_value for one in tested], settings.false_discovery_rate)
    screened = []
    for one, discovered in zip(tested, found, strict=True):
        showing = one.selection
        reason: Dropped | None = None
        if not showing.n:
            reason = "no_votes"
        elif showing.coverage < settings.minimum_coverage:
            reason = "low_coverage"
        elif showing.support < settings.minimum_support:
            reason = "low_support"
        elif not discovered:
            reason = "no_better_than_chance"
        screened.append(one.model_copy(update={"dropped": reason}))
    return screened


def forward(
    votes_CN: FloatArray,
    y: FloatArray,
    groups: IntArray,
    open_C: Sequence[int],
    settings: SelectionSettings,
    base_BN: FloatArray,
) -> tuple[list[int], dict[int, Estimate]]:
    """Candidates in the order they join, and the gain of each when it was last weighed.

    The one that lowers out-of-fold NLL most joins, until the 95 % interval of the best one's gain,
    by a bootstrap over prompts, reaches 0.
    """
    joined: list[int] = []
    gains: dict[int, Estimate] = {}
    if not open_C:
        return joined, gains
    size = typical_size(votes_CN)
    votes_CN, base_BN = votes_CN / size, base_BN / size
    folds = min(settings.folds, len(np.unique(groups)))
    fold_of = grouped_folds(groups, len(y), folds=folds, seed=settings.seed)
    now = np.full(len(y), np.log(2.0))
    if len(base_BN):
        now = _out_of_fold(base_BN, y, fold_of, settings.l2)
    while len(joined) < settings.most and (left := [k for k in open_C if k not in joined]):
        loss = {
            k: _out_of_fold(
                np.concatenate([base_BN, votes_CN[[*joined, k]]]), y, fold_of, settings.l2
            )
            for k in left
        }
        best = min(left, key=lambda k: (round(float(loss[k].mean()), 12), k))
        gains[best] = mean_estimate(now - loss[best], groups, seed=settings.seed)
        if gains[best].low <= 0:
            break
        joined.append(best)
        now = loss[best]
    return joined, gains


def _out_of_fold(votes_KN: FloatArray, y: FloatArray, fold_of: IntArray, l2: float) -> FloatArray:
    loss = np.full(len(y), np.log(2.0))
    voted = ~np.isnan(votes_KN).all(axis=0)
    for fit, judge in splits(fold_of):
        if (fit & voted).any() and (judge & voted).any():
            stacker = fit_stacker(votes_KN[:, fit], y[fit], l2=l2)
            seen = judge & voted
            loss[seen] = losses(stacker.apply(votes_KN[:, seen]), y[seen])
    return loss


def _concluded(
    tested: Sequence[Tested],
    order: Sequence[int],
    gains: dict[int, Estimate],
    votes_CN: FloatArray,
    y: FloatArray,
    groups: IntArray,
    held_out: Masks,
    settings: SelectionSettings,
    base_BN: FloatArray,
) -> Selection:
    fitted, base, scale = _weights(
        votes_CN[list(order)][:, ~held_out], base_BN[:, ~held_out], y[~held_out], settings.l2
    )
    weight_of = {k: max(round(float(w), 4), 1e-4) for k, w in zip(order, fitted, strict=True) if w}
    kept = [k for k in order if k in weight_of]
    final = []
    for k, one in enumerate(tested):
        reason = one.dropped
        if reason is None and k not in weight_of:
            reason = "no_weight" if k in order else "adds_nothing"
        update = {"weight": weight_of.get(k, 0.0), "gain": gains.get(k), "dropped": reason}
        final.append(one.model_copy(update=update))
    accuracy, unscored = None, int(held_out.sum())
    if kept:
        rows = np.concatenate([votes_CN[kept], base_BN])[:, held_out]
        verdict = weighted_mean(rows, [*(weight_of[k] for k in kept), *base.tolist()])
        scored = ~np.isnan(verdict)
        unscored = int((~scored).sum())
        if scored.any():
            right = correctness(verdict[scored], y[held_out][scored])
            accuracy = share_estimate(right, groups[held_out][scored])
    return Selection(
        candidates=tuple([final[k] for k in kept] + [one for one in final if one.dropped]),
        pairs=int((~held_out).sum()),
        held_out_pairs=int(held_out.sum()),
        held_out_accuracy=accuracy,
        held_out_unscored=unscored,
        scale=scale,
    )


def _weights(
    votes_KN: FloatArray, base_BN: FloatArray, y: FloatArray, l2: float
) -> tuple[FloatArray, FloatArray, float]:
    """Weights of what joined and of what was there, and the scale that makes them log-odds.

    Their mean is 1: of the weights there already if any is above 0, else of all above 0.
    """
    rows = np.concatenate([votes_KN, base_BN])
    joined = len(votes_KN)
    if not joined:
        return np.zeros(0), np.zeros(len(base_BN)), 0.0
    size = typical_size(rows)
    fitted = np.array(fit_stacker(rows / size, y, l2=l2).weights)
    scale = float(fitted.sum()) / size
    known = fitted[joined:] if fitted[joined:].sum() > 0 else fitted[fitted > 0]
    fitted = fitted / (float(known.mean()) if len(known) else 1.0)
    return fitted[:joined], fitted[joined:], scale


def typical_size(votes: FloatArray) -> float:
    """The root mean square of the votes that say something: the penalty must not depend on it."""
    telling = votes[~np.isnan(votes) & (votes != 0)]
    return float(np.sqrt(np.mean(telling**2))) if len(telling) else 1.0


def weighted_mean(votes_KN: FloatArray, weights: Sequence[float]) -> FloatArray:
    """The verdict's logit as a one-tier constitution of these weights has it; NaN: unscored.

    Shapes: (K, n), (K,) → (n,).
    """
    w = np.asarray(weights, dtype=np.float64)[:, None] * ~np.isnan(votes_KN)
    present = w.sum(axis=0)
    total = (w * np.nan_to_num(votes_KN)).sum(axis=0)
    mean = np.divide(total, present, out=np.full(total.shape, np.nan), where=present > 0)
    return np.where(present >= PRESENT * float(np.sum(weights)), mean, np.nan)
