"""Calibration judged on items it was not fitted on; all pairs of one prompt stay together."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    IntArray,
    group_numbers,
    mean_estimate,
)
from judges.calibration.metrics import Quality, ece_difference, losses, quality, squares
from judges.calibration.scaling import CalibrationKind, fit_calibration
from judges.errors import DataError
from judges.records import Record

FOLDS = 10


class BeforeAfter(Record):
    """What calibration changes, measured out of fold; negative differences are improvements."""

    kind: CalibrationKind
    """The calibration fitted in each fold."""
    folds: int
    """Parts; each is judged by a calibration fitted on all others."""
    before: Quality
    """Raw logits."""
    after: Quality
    """Out-of-fold calibrated logits, on the same items."""
    ece: Estimate
    """After minus before, equal-mass bins, paired bootstrap over prompts."""
    brier: Estimate
    """After minus before, paired bootstrap over prompts."""
    nll: Estimate
    """After minus before in nats, paired bootstrap over prompts."""


def grouped_folds(groups: Groups, n: int, *, folds: int = FOLDS, seed: int) -> IntArray:
    """The fold of each item, 0 to folds − 1: a group is whole in one, folds are about equal.

    Groups come in seeded order, larger ones first, each to the fold that holds fewest items.
    Raises: DataError for fewer groups than folds. Shapes: → (n,).
    """
    numbers = group_numbers(groups, n)
    sizes = np.bincount(numbers)
    if not 2 <= folds <= len(sizes):
        raise DataError(f"{len(sizes)} prompts cannot make {folds} folds; use 2 to {len(sizes)}")
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    if sizes.max() == 1:
        fold_of = np.empty(len(sizes), dtype=np.int64)
        fold_of[order] = np.arange(len(sizes)) % folds
        return fold_of[numbers]
    fold_of, held = np.empty(len(sizes), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for group in order:
        fold_of[group] = held.argmin()
        held[fold_of[group]] += sizes[group]
    return fold_of[numbers]


def splits(fold_of: IntArray) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Masks of the items to fit on and of the items to judge, once a fold."""
    for fold in np.unique(fold_of):
        yield fold_of != fold, fold_of == fold


def out_of_fold(
    kind: CalibrationKind,
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Groups = None,
    weights: npt.ArrayLike | None = None,
    *,
    folds: int = FOLDS,
    seed: int,
    pairs: bool = True,
) -> FloatArray:
    """Each item's logit, calibrated by a fit that saw no item of its prompt; NaN stays NaN.

    Raises: DataError when a fold has nothing to fit on. Shapes: (n,) → (n,).
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    scored = ~np.isnan(x)
    calibrated = np.full(len(x), np.nan)
    for fit, judge in splits(grouped_folds(groups, len(x), folds=folds, seed=seed)):
        known = fit & scored
        fitted = fit_calibration(kind, x[known], y[known], w[known], pairs=pairs)
        calibrated[judge] = fitted.apply(x[judge])
    return calibrated


def before_after(
    kind: CalibrationKind,
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Groups = None,
    *,
    folds: int = FOLDS,
    seed: int,
    pairs: bool = True,
) -> BeforeAfter:
    """ECE, Brier and NLL of raw and of out-of-fold calibrated logits, and their differences."""
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    after = out_of_fold(kind, x, y, groups, folds=folds, seed=seed, pairs=pairs)
    scored = ~np.isnan(x)
    numbers = group_numbers(groups, len(x))[scored]
    old, new, y = x[scored], after[scored], y[scored]
    again = group_numbers(numbers, len(y))
    return BeforeAfter(
        kind=kind,
        folds=folds,
        before=quality(x, labels, groups, seed=seed),
        after=quality(after, labels, groups, seed=seed),
        ece=ece_difference(old, new, y, again, seed),
        brier=mean_estimate(squares(new, y) - squares(old, y), again, seed=seed),
        nll=mean_estimate(losses(new, y) - losses(old, y), again, seed=seed),
    )
