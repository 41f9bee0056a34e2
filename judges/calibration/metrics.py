"""How good logits are against labels: accuracy, calibration error, Brier, NLL, each with interval.

All take calibrated or raw logits, NaN where a pair is unscored. Pairs are unordered, so that no
metric changes when completions change places.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri

from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    IntArray,
    bootstrap_estimate,
    group_numbers,
    mean_estimate,
    refuse_empty,
    resampled_sums,
    share_estimate,
)
from judges.calibration.scaling import checked
from judges.errors import DataError
from judges.records import Record

Bins = Literal["mass", "width"]
FLOOR_DRAWS = 200


class ReliabilityPoint(Record):
    """One bin of a reliability curve."""

    confidence: float
    """Mean probability of the preferred side in the bin, 0.5 to 1."""
    accuracy: Estimate
    """Share of labels that agree, ties a half; its n is the bin's."""


class Quality(Record):
    """All metrics of one judge on one labelled set."""

    n: int
    """Scored items."""
    unscored: int
    """Items without a logit: counted here, and in nothing else."""
    accuracy: Estimate
    """Share right; a tie on either side is a half."""
    ece: Estimate
    """Expected calibration error, bins of equal mass."""
    ece_if_calibrated: float
    """Mean `ece` of labels drawn from these very probabilities: what n alone brings about."""
    ece_equal_width: Estimate
    """Expected calibration error, bins of equal width."""
    brier: Estimate
    """Mean squared error of the probability, 0.25 for always 0.5."""
    nll: Estimate
    """Mean negative log-likelihood in nats, 0.693 for always 0.5."""


def correctness(logits: FloatArray, labels: FloatArray) -> FloatArray:
    """1 where the sign of the logit agrees with the label, 0 where not, 0.5 for a tie of either.

    NaN stays NaN.
    """
    return np.asarray(0.5 + 0.5 * np.sign(logits) * np.sign(labels - 0.5))


def losses(logits: FloatArray, labels: FloatArray) -> FloatArray:
    """Negative log-likelihood of each label in nats, stable for any finite logit."""
    return np.asarray(np.logaddexp(0, logits) - labels * logits)


def squares(logits: FloatArray, labels: FloatArray) -> FloatArray:
    """Squared error of each probability."""
    return np.asarray((expit(logits) - labels) ** 2)


def accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike, groups: Groups = None) -> Estimate:
    """Share of pairs judged as people did, ties a half; Wilson interval. Raises: DataError."""
    x, y, _ = checked(logits, labels)
    return share_estimate(correctness(x, y), groups)


def brier(
    logits: npt.ArrayLike, labels: npt.ArrayLike, groups: Groups = None, *, seed: int
) -> Estimate:
    """Mean squared error of the probabilities; a tie's target is 0.5. Raises: DataError."""
    x, y, _ = checked(logits, labels)
    return mean_estimate(squares(x, y), groups, seed=seed)


def nll(
    logits: npt.ArrayLike, labels: npt.ArrayLike, groups: Groups = None, *, seed: int
) -> Estimate:
    """Mean negative log-likelihood in nats; a tie is half of each. Raises: DataError."""
    x, y, _ = checked(logits, labels)
    return mean_estimate(losses(x, y), groups, seed=seed)


def ece(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Groups = None,
    *,
    seed: int,
    bins: int = 10,
    kind: Bins = "mass",
) -> Estimate:
    """Mean over items of |confidence − accuracy| of their bin; biased upward when bins are small.

    A resample adds some of that bias again, so the interval is the basic one, 2·value − quantile,
    within [0, 1] and widened to hold the value; what bias is left, `ece_if_calibrated` shows.
    Bins are fixed by the data, not by the resample.
    Source: Naeini et al. 2015; equal mass: Nixon et al. 2019.
    """
    columns = _gap_columns(*checked(logits, labels)[:2], bins, kind)
    value = float(_absolute_gap(columns.sum(axis=0)))
    draws = _absolute_gap(resampled_sums(columns, group_numbers(groups, len(columns)), seed))
    high, low = 2 * value - np.quantile(draws, (0.025, 0.975))
    return Estimate(
        value=value,
        low=min(value, max(0.0, float(low))),
        high=max(value, min(1.0, float(high))),
        n=len(columns),
    )


def ece_if_calibrated(logits: npt.ArrayLike, *, seed: int, draws: int = FLOOR_DRAWS) -> float:
    """Mean ECE, bins of equal mass, when labels are drawn from the probabilities themselves.

    An ECE near it says nothing against the judge. Source: consistency bars, Bröcker and Smith 2007.
    """
    confidence = expit(np.abs(np.asarray(logits, dtype=np.float64)))
    refuse_empty(len(confidence))
    inside = _bin_numbers(confidence, 10, "mass")
    rng = np.random.default_rng(seed)
    gaps = [
        np.abs(np.bincount(inside, confidence - (rng.random(len(inside)) < confidence))).sum()
        for _ in range(draws)
    ]
    return float(np.mean(gaps)) / len(inside)


def ece_difference(
    before: FloatArray, after: FloatArray, labels: FloatArray, groups: Groups, seed: int
) -> Estimate:
    """ECE after minus before, on the same resamples; negative is better. Bins of equal mass."""
    old, new = (_gap_columns(*checked(x, labels)[:2], 10, "mass") for x in (before, after))
    width = old.shape[1]
    return bootstrap_estimate(
        np.hstack([old, new]),
        lambda totals: _absolute_gap(totals[..., width:]) - _absolute_gap(totals[..., :width]),
        group_numbers(groups, len(labels)),
        seed,
    )


def reliability_curve(
    logits: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 10, kind: Bins = "mass"
) -> list[ReliabilityPoint]:
    """Confidence against accuracy in each bin that holds items, least confident first."""
    x, y, _ = checked(logits, labels)
    confidence, right = _folded(x, y)
    inside = _bin_numbers(confidence, bins, kind)
    return [
        ReliabilityPoint(
            confidence=float(confidence[inside == number].mean()),
            accuracy=share_estimate(right[inside == number]),
        )
        for number in np.unique(inside)
    ]


def quality(
    logits: npt.ArrayLike, labels: npt.ArrayLike, groups: Groups = None, *, seed: int
) -> Quality:
    """All metrics over the scored items, and how many were not. Raises: DataError when none is."""
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    scored = ~np.isnan(x)
    numbers = group_numbers(groups, len(x))[scored]
    x, y = x[scored], y[scored]
    # The groups that remain are numbered anew: a prompt without scored pairs is not drawn.
    again = group_numbers(numbers, len(x))
    return Quality(
        n=len(x),
        unscored=int((~scored).sum()),
        accuracy=accuracy(x, y, again),
        ece=ece(x, y, again, seed=seed),
        ece_if_calibrated=ece_if_calibrated(x, seed=seed),
        ece_equal_width=ece(x, y, again, seed=seed, kind="width"),
        brier=brier(x, y, again, seed=seed),
        nll=nll(x, y, again, seed=seed),
    )


def minimum_detectable_effect(
    n: int, share: float = 0.5, *, power: float = 0.8, level: float = 0.05, samples: int = 1
) -> float:
    """The smallest true change of a share that n items show at this power, two-sided test.

    `samples` is 1 against a fixed share, 2 for two independent sets of n. Normal approximation:
    for shares near 0 or 1 it is too small. Source: Cohen 1988, chapter 6.
    """
    if n < 1 or not 0 < share < 1 or not 0 < power < 1 or not 0 < level < 1:
        raise DataError(f"n {n}, share {share}, power {power}, level {level}: out of range")
    spread = math.sqrt(samples * share * (1 - share) / n)
    return float(ndtri(1 - level / 2) + ndtri(power)) * spread


def _folded(logits: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Probability of the preferred side, and whether the label agrees: the same for the swap."""
    return np.asarray(expit(np.abs(logits))), correctness(logits, labels)


def _bin_numbers(confidence: FloatArray, bins: int, kind: Bins) -> IntArray:
    """The bin of each item. Equal values share a bin, so that order of items cannot matter."""
    if kind == "width":
        inner = np.linspace(0.5, 1, bins + 1)[1:-1]
    else:
        inner = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.asarray(np.searchsorted(inner, confidence, side="left"), dtype=np.int64)


def _gap_columns(logits: FloatArray, labels: FloatArray, bins: int, kind: Bins) -> FloatArray:
    """Each item's confidence − accuracy in its bin's column, and a last column of ones."""
    confidence, right = _folded(logits, labels)
    columns = np.zeros((len(logits), bins + 1))
    columns[np.arange(len(logits)), _bin_numbers(confidence, bins, kind)] = confidence - right
    columns[:, -1] = 1
    return columns


def _absolute_gap(totals: FloatArray) -> FloatArray:
    return np.asarray(np.abs(totals[..., :-1]).sum(axis=-1) / totals[..., -1])
