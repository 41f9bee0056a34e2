"""The guarantee itself, by simulation; exact tails; and what comes when nothing is proven."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from judges.calibration.abstention import (
    coverage_accuracy_curve,
    disagreement_tail,
    guaranteed_threshold,
    lower_bound,
    pairs_needed,
)
from judges.errors import DataError


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A judge whose chance to agree is its confidence."""
    confidence = 0.5 + 0.5 * rng.random(n)
    return confidence, (rng.random(n) < confidence).astype(float)


def test_curve_counted_by_hand() -> None:
    points = coverage_accuracy_curve([0.9, 0.8, 0.6, np.nan], [1, 0, 1, 1], [0.5, 0.7, 0.95])
    assert [(p.threshold, p.coverage.value, p.accuracy.value) for p in points] == [
        (0.7, 0.5, 0.5),
        (0.5, 0.75, pytest.approx(2 / 3)),
    ]


def test_exact_tails_as_scipy() -> None:
    assert disagreement_tail(3, 40, 0.1) == pytest.approx(binom.cdf(3, 40, 0.1))
    assert disagreement_tail(0, 0, 0.1) == 1
    exact = binomtest(37, 40).proportion_ci(0.90, method="exact").low
    assert lower_bound(37, 40, 0.05) == pytest.approx(exact)
    assert lower_bound(0, 5, 0.05) == 0


@pytest.mark.parametrize("starts", [1, 5])
def test_the_guarantee_holds_in_as_many_draws_as_promised(starts: int) -> None:
    # Agreement above a threshold t is (1 + t)/2 here: at least 0.85 exactly when t is at least 0.7.
    rng = np.random.default_rng(5)
    draws, broken, found = 300, 0, 0
    thresholds = tuple(0.9 - 0.02 * step for step in range(20))
    for _ in range(draws):
        rule = guaranteed_threshold(
            *drawn(500, rng), alpha=0.15, delta=0.1, thresholds=thresholds, starts=starts
        )
        found += rule.threshold is not None
        broken += rule.threshold is not None and rule.threshold < 0.7 - 1e-9
    assert found > 0.7 * draws
    assert broken <= binom.ppf(0.999, draws, 0.1)


def test_picking_the_best_looking_threshold_would_break_it() -> None:
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(60):
        points = coverage_accuracy_curve(*drawn(500, rng))
        good = [point.threshold for point in points if point.accuracy.value >= 0.85]
        broken += min(good, default=1.0) < 0.7
    assert broken > 0.3 * 60


def test_several_starts_save_what_one_empty_start_loses() -> None:
    confidence, agreed = np.full(400, 0.8), np.ones(400)
    assert guaranteed_threshold(
        confidence, agreed, alpha=0.1, delta=0.1, starts=1
    ).threshold is None  # fmt: skip
    rule = guaranteed_threshold(confidence, agreed, alpha=0.1, delta=0.1)
    assert rule.threshold == 0.5
    assert rule.coverage is not None
    assert rule.coverage.value == 1
    assert rule.agreement_at_least is not None
    assert rule.agreement_at_least >= 0.9


def test_the_bound_it_rests_on_is_what_was_asked() -> None:
    rng = np.random.default_rng(0)
    rule = guaranteed_threshold(*drawn(2000, rng), alpha=0.15, delta=0.1)
    assert rule.threshold is not None
    assert rule.agreement_at_least is not None
    assert rule.agreement_at_least >= 0.85


@pytest.mark.parametrize(
    ("n", "share", "reason"),
    [(10, 1.0, "10 scored pairs are too few: 38 "), (500, 0.6, "not proven at any threshold")],
    ids=["too few labels", "poor judge"],
)
def test_when_nothing_is_proven_it_abstains_and_says_why(n: int, share: float, reason: str) -> None:
    agreed = (np.arange(n) < share * n).astype(float)
    np.random.default_rng(0).shuffle(agreed)
    rule = guaranteed_threshold(np.full(n, 0.95), agreed, alpha=0.1, delta=0.1)
    assert rule.threshold is None
    assert rule.agreement is None
    assert reason in rule.reason


def test_pairs_needed_is_the_least_that_suffices() -> None:
    n = pairs_needed(0.1, 0.02)
    assert disagreement_tail(0, n, 0.1) <= 0.02 < disagreement_tail(0, n - 1, 0.1)


def test_unscored_and_tied_pairs_never_count_as_agreement() -> None:
    confidence = np.r_[np.full(100, 0.9), np.full(50, np.nan)]
    rule = guaranteed_threshold(confidence, np.ones(150), alpha=0.1, delta=0.1)
    assert rule.n == 150
    assert rule.coverage is not None
    assert rule.coverage.value == pytest.approx(100 / 150)
    tied = guaranteed_threshold(np.full(100, 0.9), np.full(100, 0.5), alpha=0.1, delta=0.1)
    assert tied.threshold is None


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="alpha 0"):
        guaranteed_threshold([0.9], [1], alpha=0, delta=0.1)
    with pytest.raises(DataError, match="2 confidences for 1 labels"):
        coverage_accuracy_curve([0.9, 0.8], [1])
