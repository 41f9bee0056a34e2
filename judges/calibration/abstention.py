"""When a judge should rather say nothing: confidence thresholds with a guarantee."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv

from judges.calibration.estimates import Estimate, FloatArray, refuse_empty, share_estimate
from judges.errors import DataError
from judges.records import Record

THRESHOLDS = tuple(round(0.99 - 0.01 * step, 2) for step in range(50))
STARTS = 5


class CoveragePoint(Record):
    """What a judge does that speaks only above a confidence."""

    threshold: float
    """Lowest confidence at which it speaks, 0.5 to 1."""
    coverage: Estimate
    """Share of pairs it speaks on."""
    accuracy: Estimate
    """Share of those on which it agrees with people."""


class AbstentionRule(Record):
    """The lowest confidence at which agreement is guaranteed, or why there is none."""

    threshold: float | None
    """Abstain below it; None: no threshold is proven, abstain on every pair."""
    alpha: float
    """Disagreement allowed where the judge speaks."""
    delta: float
    """Chance allowed that the guarantee is wrong, over draws of the labelled set."""
    n: int
    """Labelled pairs it was chosen on, unscored ones included."""
    coverage: Estimate | None
    """Share of pairs above the threshold."""
    agreement: Estimate | None
    """Share that agrees above the threshold, with its Wilson interval."""
    agreement_at_least: float | None
    """Clopper–Pearson lower bound that the test rests on."""
    reason: str
    """Empty, or why no threshold is proven, and what would help."""


def coverage_accuracy_curve(
    confidence: npt.ArrayLike, agreed: npt.ArrayLike, thresholds: Sequence[float] = THRESHOLDS
) -> list[CoveragePoint]:
    """Coverage and accuracy at each threshold that any pair reaches, highest first.

    Confidence is the probability of the preferred side, NaN where unscored; agreed is 1, 0, or
    0.5 for a tie. Shapes: (n,), (n,). Raises: DataError for no pairs.
    """
    c, a = _checked(confidence, agreed)
    return [
        CoveragePoint(
            threshold=threshold,
            coverage=share_estimate((c >= threshold).astype(np.float64)),
            accuracy=share_estimate(a[c >= threshold]),
        )
        for threshold in sorted(thresholds, reverse=True)
        if (c >= threshold).any()
    ]


def guaranteed_threshold(
    confidence: npt.ArrayLike,
    agreed: npt.ArrayLike,
    *,
    alpha: float,
    delta: float,
    thresholds: Sequence[float] = THRESHOLDS,
    starts: int = STARTS,
) -> AbstentionRule:
    """The lowest threshold with P(agreement above it ≥ 1 − alpha) ≥ 1 − delta, or none.

    From a start down, each threshold's hypothesis "disagreement is more than alpha" is tested by
    the exact binomial tail of the pairs above it, until one is not rejected. The first tests of one
    single start have few pairs, so several starts, spread evenly, share delta between them.
    Pairs must be independent, one a prompt, and thresholds fixed before labels are seen (ties of
    people count as disagreement: agreed is 0 or 1, or a tie's 0.5 is counted as 0).
    Source: Trust or Escalate, ICLR 2025, section 2; Bauer 1991; starts: Angelopoulos et al. 2021.
    """
    if not (0 < alpha < 1 and 0 < delta < 1 and 1 <= starts <= len(thresholds)):
        raise DataError(f"alpha {alpha}, delta {delta}, starts {starts}: out of range")
    c, a = _checked(confidence, agreed)
    falling = sorted(set(thresholds), reverse=True)
    level = delta / starts
    begin = {round(part * len(falling) / starts) for part in range(starts)}
    found, walking = None, False
    for number, threshold in enumerate(falling):
        if walking or number in begin:
            spoken = a[c >= threshold] == 1
            walking = (
                disagreement_tail(len(spoken) - int(spoken.sum()), len(spoken), alpha) <= level
            )
            found = threshold if walking else found
    if found is None:
        return AbstentionRule(
            threshold=None, alpha=alpha, delta=delta, n=len(c), coverage=None, agreement=None,
            agreement_at_least=None, reason=_why_none(c, falling, alpha, level),
        )  # fmt: skip
    spoken = (a[c >= found] == 1).astype(np.float64)
    return AbstentionRule(
        threshold=found, alpha=alpha, delta=delta, n=len(c),
        coverage=share_estimate((c >= found).astype(np.float64)),
        agreement=share_estimate(spoken),
        agreement_at_least=lower_bound(int(spoken.sum()), len(spoken), level), reason="",
    )  # fmt: skip


def disagreement_tail(failures: int, n: int, alpha: float) -> float:
    """P(at most this many failures of n) when each fails with probability alpha: the p-value."""
    return float(bdtr(failures, n, alpha)) if n else 1.0


def lower_bound(successes: int, n: int, level: float) -> float:
    """The share that successes of n prove, one-sided. Source: Clopper and Pearson 1934."""
    return float(betaincinv(successes, n - successes + 1, level)) if successes else 0.0


def pairs_needed(alpha: float, level: float) -> int:
    """Pairs that prove a disagreement of at most alpha when none disagrees."""
    return math.ceil(math.log(level) / math.log1p(-alpha))


def _why_none(confidence: FloatArray, falling: Sequence[float], alpha: float, level: float) -> str:
    needed, most = pairs_needed(alpha, level), int((confidence >= falling[-1]).sum())
    if most < needed:
        return (
            f"{most} scored pairs are too few: {needed} without one disagreement are needed; "
            "label more, or raise alpha or delta"
        )
    return (
        f"disagreement of at most {alpha:g} is not proven at any threshold; "
        "label more, raise alpha, or ask a better judge"
    )


def _checked(confidence: npt.ArrayLike, agreed: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    c, a = (np.asarray(values, dtype=np.float64) for values in (confidence, agreed))
    refuse_empty(len(c))
    if c.shape != a.shape:
        raise DataError(f"{len(c)} confidences for {len(a)} labels; give one each")
    return c, a
