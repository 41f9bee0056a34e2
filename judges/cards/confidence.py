"""How far the judge's probabilities can be taken at their word: calibration and abstention."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from judges.calibration.abstention import (
    THRESHOLDS,
    AbstentionRule,
    CoveragePoint,
    coverage_accuracy_curve,
    guaranteed_threshold,
)
from judges.calibration.cross_validation import FOLDS, BeforeAfter, before_after, out_of_fold
from judges.calibration.estimates import Estimate, FloatArray
from judges.calibration.metrics import ReliabilityPoint, brier, correctness, reliability_curve
from judges.calibration.scaling import (
    Calibration,
    CalibrationKind,
    fit_temperature,
    fit_temperature_within,
)
from judges.cards.breakdown import Truth, known
from judges.cards.voting import View
from judges.errors import DataError
from judges.records import Record

KINDS: tuple[CalibrationKind, ...] = ("temperature", "platt", "isotonic")
FINER = (0.9995, 0.999, 0.998, 0.995)
"""Thresholds above the usual ones: an overconfident judge is nearly always this sure."""


class CardSettings(Record):
    """How a card is made."""

    seed: int = 0
    """Draws pairs, cuts folds, resamples prompts."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Disagreement with people allowed where the judge speaks."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Chance allowed that the abstention guarantee is wrong."""
    inversion_pairs: Annotated[int, Field(ge=0)] = 200
    """Pairs judged once more under negated principles."""


class ConfidenceReport(Record):
    """Calibration, and when to abstain; fitted and tested on scored pairs only."""

    brier: Estimate | None
    """Mean squared error of the raw probabilities; 0.25 knows nothing."""
    calibrations: tuple[BeforeAfter, ...]
    """ECE, Brier and NLL before and after each kind of calibration, out of fold."""
    fitted: Calibration | None
    """The temperature of the judge's votes within principles that makes verdicts likeliest, fitted
    on all scored pairs; None where there are none. `calibrations` are of whole verdicts."""
    reliability: tuple[ReliabilityPoint, ...]
    """Raw confidence against accuracy."""
    reliability_after: tuple[ReliabilityPoint, ...]
    """The same after temperature, out of fold."""
    abstention: AbstentionRule | None
    """The raw confidence above which agreement is guaranteed, or why there is none."""
    coverage: tuple[CoveragePoint, ...]
    """Coverage and accuracy at each threshold of raw confidence; unscored pairs are not covered."""


def confidence_report(
    view: View, truth: Truth, weights: FloatArray, how: CardSettings
) -> ConfidenceReport:
    """What calibration and abstention make of raw logits, NaN where unscored. Shapes: (n,)."""
    logits = view.logit_B
    scored = ~np.isnan(logits)
    raw, seen, seed = logits[scored], truth.only(scored), how.seed
    y, groups = seen.label_B, seen.group_B
    return ConfidenceReport(
        brier=known(lambda: brier(raw, y, groups, seed=seed)),
        calibrations=_calibrations(raw, seen, seed),
        fitted=temperature_of(view, truth, weights),
        reliability=tuple(known(lambda: reliability_curve(raw, y)) or ()),
        reliability_after=tuple(known(lambda: _after(raw, seen, seed)) or ()),
        abstention=known(lambda: _abstention(logits, truth, how)),
        coverage=tuple(known(lambda: _coverage(logits, truth)) or ()),
    )


def temperature_of(view: View, truth: Truth, weights: FloatArray) -> Calibration | None:
    """The temperature that fits the scored pairs; None where none is scored.

    It is applied to votes within principles, so it is fitted there, through the aggregation.
    """
    scored = ~np.isnan(view.logit_B)
    y, w, within = truth.label_B[scored], weights[scored], view.scaled
    if within is None:
        return known(lambda: fit_temperature(view.logit_B[scored], y, w))
    return known(lambda: fit_temperature_within(lambda slope: within(slope)[scored], y, w))


def _folds(truth: Truth) -> int:
    return min(FOLDS, len(np.unique(truth.group_B)))


def _calibrations(raw: FloatArray, seen: Truth, seed: int) -> tuple[BeforeAfter, ...]:
    y, groups, folds = seen.label_B, seen.group_B, _folds(seen)
    made = []
    for kind in KINDS:
        try:
            made.append(before_after(kind, raw, y, groups, folds=folds, seed=seed))
        except DataError:
            continue  # too few prompts to leave some out
    return tuple(made)


def _after(raw: FloatArray, seen: Truth, seed: int) -> list[ReliabilityPoint]:
    y, groups = seen.label_B, seen.group_B
    after = out_of_fold("temperature", raw, y, groups, folds=_folds(seen), seed=seed)
    return reliability_curve(after, y)


def _confidence(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.abs(logits))))


def _thresholds() -> Sequence[float]:
    return (*FINER, *THRESHOLDS)


def _abstention(logits: FloatArray, truth: Truth, how: CardSettings) -> AbstentionRule:
    """On raw confidence, whose thresholds no label has moved, and on one pair a prompt."""
    _, first = np.unique(truth.group_B, return_index=True)
    return guaranteed_threshold(
        _confidence(logits)[first],
        correctness(logits, truth.label_B)[first],
        alpha=how.alpha,
        delta=how.delta,
        thresholds=_thresholds(),
    )


def _coverage(logits: FloatArray, truth: Truth) -> list[CoveragePoint]:
    right = correctness(logits, truth.label_B)
    return coverage_accuracy_curve(_confidence(logits), right, _thresholds())
