"""Several judges as one: mean logit, majority, a logistic stacker, and how far judges disagree.

Logits are (J, n), one row a judge, NaN where a judge left. Every way of combining is antisymmetric:
swapping a pair's completions negates the logit.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from judges.calibration.cross_validation import grouped_folds, splits
from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    group_numbers,
    mean_estimate,
    share_estimate,
)
from judges.calibration.logistic import fit_logistic
from judges.calibration.metrics import losses
from judges.calibration.scaling import checked
from judges.canonical import digest
from judges.errors import DataError
from judges.records import Record

CLIP = 5.0
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
INNER_FOLDS = 5


class Stacker(Record):
    """A fitted weighted sum of judges' logits."""

    weights: tuple[float, ...]
    """One a judge, in the panel's order; below 0, if allowed, where people contradict it."""
    length_weight: float | None = None
    """Weight of log(length of first / length of second); None: length is not used."""
    clip: float = Field(gt=0)
    """Logits beyond it count as it: no judge's certainty outvotes all others."""
    l2: float = Field(gt=0)
    """Strength of the pull of all weights towards 0."""
    n: int = Field(ge=1)
    """Labelled pairs it was fitted on."""

    @property
    def digest(self) -> str:
        """The sha-256 of its canonical JSON."""
        return digest(self.model_dump(mode="json"))

    def apply(self, logits: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> FloatArray:
        """The panel's calibrated logits; NaN where every judge left. Shapes: (J, n), (n, 2) → (n,).

        A judge that left counts as undecided, logit 0. Raises: DataError for another panel size,
        or lengths given to a stacker fitted without them, or the reverse.
        """
        panel = np.asarray(logits, dtype=np.float64)
        if len(panel) != len(self.weights):
            raise DataError(f"{len(panel)} judges for {len(self.weights)} weights; same panel only")
        if (lengths is None) != (self.length_weight is None):
            raise DataError("lengths are given where none were fitted, or the reverse")
        extra = () if self.length_weight is None else (self.length_weight,)
        combined = _features(panel, self.clip, lengths) @ np.array([*self.weights, *extra])
        return np.where(np.isnan(panel).all(axis=0), np.nan, combined)


class Disagreement(Record):
    """How far the judges of a panel differ."""

    n: int
    """Pairs with at least two votes."""
    differ: Estimate
    """Share of these on which not all votes are the same."""
    entropy: Estimate
    """Mean entropy of the votes of a pair in bits; 1 is a panel split in two."""


def mean_logit(logits: npt.ArrayLike) -> FloatArray:
    """Mean over the judges that are there; NaN where none is. Shapes: (J, n) → (n,)."""
    panel = np.asarray(logits, dtype=np.float64)
    there = ~np.isnan(panel)
    total = np.where(there, panel, 0.0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(1, there.sum(axis=0)), np.nan)


def majority(logits: npt.ArrayLike) -> FloatArray:
    """1, 0, or 0.5 for a tie, by the signs of the logits; NaN where no judge voted."""
    panel = np.asarray(logits, dtype=np.float64)
    lead = np.sign(np.nansum(np.sign(panel), axis=0))
    return np.where(np.isnan(panel).all(axis=0), np.nan, 0.5 + 0.5 * lead)


def vote_entropy(logits: npt.ArrayLike) -> FloatArray:
    """Entropy in bits of first, second and tie among the votes; NaN below two. (J, n) → (n,)."""
    panel = np.asarray(logits, dtype=np.float64)
    votes = (~np.isnan(panel)).sum(axis=0)
    counts = np.stack([(np.sign(panel) == side).sum(axis=0) for side in (-1, 0, 1)])
    shares = counts / np.maximum(1, votes)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=0)
    return np.where(votes >= 2, np.abs(bits), np.nan)


def disagreement(logits: npt.ArrayLike, groups: Groups = None, *, seed: int) -> Disagreement:
    """How often, and how evenly, judges differ. Raises: DataError when no pair has two votes."""
    entropy = vote_entropy(logits)
    known = ~np.isnan(entropy)
    again = group_numbers(group_numbers(groups, len(entropy))[known], int(known.sum()))
    return Disagreement(
        n=int(known.sum()),
        differ=share_estimate((entropy[known] > 0).astype(np.float64), again),
        entropy=mean_estimate(entropy[known], again, seed=seed),
    )


def fit_stacker(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
    *,
    l2: float,
    clip: float = CLIP,
    contrary: bool = False,
) -> Stacker:
    """The L2-penalised logistic regression of labels on judges' logits, without intercept.

    Without one, both orders of a pair have the same loss, and the result is antisymmetric. A weak
    judge is kept: its weight says what it is worth. Pairs without a vote are left out. With
    `contrary`, a judge that people contradict may have a negative weight; where the labelled pairs
    were chosen because judges fail on them, that learns how they were chosen: `charter benchmark
    recorded-verdicts` shows such a stacker below chance on pairs chosen otherwise.
    Shapes: (J, n), (n,), (n,), (n, 2). Raises: DataError when no pair has a vote.
    """
    panel = np.asarray(logits, dtype=np.float64)
    present = ~np.isnan(panel).all(axis=0)
    y = np.asarray(labels, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    _, targets, w = checked(np.zeros(int(present.sum())), y[present], w[present])
    features = _features(panel, clip, lengths)[present]
    judges = len(panel)
    lowest = np.full(features.shape[1], -np.inf)
    lowest[:judges] = -np.inf if contrary else 0.0
    beta = fit_logistic(features, targets, w, l2, lowest)
    return Stacker(
        weights=tuple(map(float, beta[:judges])),
        length_weight=None if lengths is None else float(beta[judges]),
        clip=clip,
        l2=l2,
        n=len(targets),
    )


def choose_l2(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Groups = None,
    lengths: npt.ArrayLike | None = None,
    *,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
    contrary: bool = False,
) -> float:
    """The penalty with the lowest NLL in grouped cross-validation."""
    panel, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    sizes = None if lengths is None else np.asarray(lengths, dtype=np.float64)
    loss = dict.fromkeys(strengths, 0.0)
    for fit, judge in splits(grouped_folds(groups, len(y), folds=INNER_FOLDS, seed=seed)):
        for l2 in strengths:
            stacker = fit_stacker(
                panel[:, fit],
                y[fit],
                lengths=None if sizes is None else sizes[fit],
                l2=l2,
                contrary=contrary,
            )
            judged = stacker.apply(panel[:, judge], None if sizes is None else sizes[judge])
            loss[l2] += float(np.nansum(losses(judged, y[judge])))
    return min(loss, key=loss.__getitem__)


def _features(panel: FloatArray, clip: float, lengths: npt.ArrayLike | None) -> FloatArray:
    """Clipped logits, absent ones 0, and the log ratio of lengths. Shapes: → (n, J or J + 1)."""
    columns = [np.nan_to_num(panel, nan=0.0, posinf=clip, neginf=-clip).clip(-clip, clip)]
    if lengths is not None:
        sizes = np.log1p(np.asarray(lengths, dtype=np.float64))
        columns.append((sizes[:, 0] - sizes[:, 1])[None])
    return np.asarray(np.concatenate(columns).T)
