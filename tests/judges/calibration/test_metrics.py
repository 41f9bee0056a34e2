"""Metrics against closed forms, scikit-learn and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binom
from sklearn.metrics import brier_score_loss, log_loss

from judges.calibration.metrics import (
    Bins,
    accuracy,
    brier,
    ece,
    ece_if_calibrated,
    minimum_detectable_effect,
    nll,
    quality,
    reliability_curve,
)
from judges.errors import DataError
from judges.intervals import wilson
from tests.judges.calibration.made_logits import judged_pairs

X, Y = judged_pairs(400, 2.0)
rows = st.lists(
    st.tuples(st.floats(-9, 9), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30
)


def test_as_scikit_learn() -> None:
    assert brier(X, Y, seed=0).value == pytest.approx(brier_score_loss(Y, expit(X)))
    assert nll(X, Y, seed=0).value == pytest.approx(log_loss(Y, expit(X)))


def test_ties_are_a_half_on_either_side() -> None:
    found = accuracy([2.0, -2.0, 0.0, 2.0], [1, 1, 1, 0.5])
    assert found.value == 0.5
    assert (found.low, found.high) == wilson(2, 4)


def test_ece_of_two_known_bins() -> None:
    x = logit(np.r_[np.full(10, 0.6), np.full(10, 0.9)])
    y = np.r_[np.ones(6), np.zeros(4), np.ones(5), np.zeros(5)]
    kinds: tuple[Bins, ...] = ("mass", "width")
    for kind in kinds:
        assert ece(x, y, seed=0, kind=kind).value == pytest.approx(0.2)


def test_ece_bins_of_equal_width_and_mass_differ_where_confidence_is_uneven() -> None:
    x = logit(np.array([0.51, 0.52, 0.53, 0.54, 0.99]))
    y = np.array([1.0, 0, 1, 0, 1])
    assert ece(x, y, seed=0, kind="width", bins=2).value == pytest.approx((0.10 + 0.01) / 5)
    assert ece(x, y, seed=0, kind="mass", bins=2).value == pytest.approx(
        (abs(1.56 - 2) + abs(1.53 - 1)) / 5
    )


@settings(max_examples=15)
@given(rows, st.randoms(use_true_random=False))
def test_neither_swapping_pairs_nor_their_order_changes_a_metric(
    items: list[tuple[float, float]], random: np.random.Generator
) -> None:
    x, y = np.array(items).T
    turned = np.array([random.choice([-1, 1]) for _ in items])
    y_turned = np.where(turned == 1, y, 1 - y)
    backwards = slice(None, None, -1)
    for metric in (ece, brier, nll):
        value = metric(x, y, seed=0).value
        assert metric(x * turned, y_turned, seed=0).value == pytest.approx(value)
        assert metric(x[backwards], y[backwards], seed=0).value == pytest.approx(value)
    assert accuracy(x * turned, y_turned).value == pytest.approx(accuracy(x, y).value)


@settings(max_examples=15)
@given(rows)
def test_every_interval_holds_its_value(items: list[tuple[float, float]]) -> None:
    found = quality(*zip(*items, strict=True), seed=0)
    for name in ("accuracy", "ece", "ece_equal_width", "brier", "nll"):
        estimate = getattr(found, name)
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.n == found.n == len(items)


def test_ece_of_a_calibrated_judge_is_what_few_labels_bring_about() -> None:
    found = [ece(*judged_pairs(300, 1.0, seed), seed=0).value for seed in range(20)]
    floor = ece_if_calibrated(judged_pairs(300, 1.0)[0], seed=0)
    assert np.mean(found) == pytest.approx(floor, rel=0.2)
    assert ece_if_calibrated(judged_pairs(30_000, 1.0)[0], seed=0, draws=20) < floor / 5


def test_ece_of_an_overconfident_judge_is_far_above_that() -> None:
    x, y = judged_pairs(500, 4.0)
    assert ece(x, y, seed=0).low > 2 * ece_if_calibrated(x, seed=0)


def test_always_a_half_has_the_known_losses() -> None:
    found = quality(np.zeros(8), [1, 0] * 4, seed=0)
    assert found.brier.value == 0.25
    assert found.nll.value == pytest.approx(np.log(2))
    assert found.ece.value == 0
    assert found.accuracy.value == 0.5


def test_certain_and_wrong_is_finite() -> None:
    assert nll([800.0], [0], seed=0).value == 800


def test_unscored_is_counted_and_not_measured() -> None:
    found = quality([np.nan, 2.0, np.nan, 2.0], [0, 1, 0, 1], ["a", "b", "c", "b"], seed=0)
    assert (found.n, found.unscored, found.accuracy.value) == (2, 2, 1)
    with pytest.raises(DataError, match="no scored items"):
        quality([np.nan], [1], seed=0)


def test_reliability_curve_is_the_mean_of_each_bin() -> None:
    points = reliability_curve(X, Y, bins=5)
    assert [point.accuracy.n for point in points] == [80] * 5
    assert points == sorted(points, key=lambda point: point.confidence)
    gap = sum(abs(p.confidence - p.accuracy.value) * p.accuracy.n for p in points) / 400
    assert gap == pytest.approx(ece(X, Y, seed=0, bins=5).value)


def test_bootstrap_interval_covers_the_true_brier_score() -> None:
    held = 0
    for seed in range(60):
        x, y = judged_pairs(100, 1.0, seed)
        estimate = brier(x, y, seed=seed)
        truth = TRUE_BRIER
        held += estimate.low <= truth <= estimate.high
    assert held >= binom.ppf(0.001, 60, 0.93)


TRUE_BRIER = float(np.mean(expit(z := judged_pairs(200_000, 1.0)[0]) * (1 - expit(z))))


def test_minimum_detectable_effect_is_the_textbook_one() -> None:
    assert minimum_detectable_effect(100) == pytest.approx(2.8016 * 0.05, rel=1e-3)
    assert minimum_detectable_effect(400) == pytest.approx(minimum_detectable_effect(100) / 2)
    assert minimum_detectable_effect(100, samples=2) == pytest.approx(0.1981, rel=1e-3)
    with pytest.raises(DataError, match="n 0"):
        minimum_detectable_effect(0)
