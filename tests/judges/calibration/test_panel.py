"""Combining judges: laws, hand counts, and what a stacker must find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression

from judges.calibration.panel import (
    choose_l2,
    disagreement,
    fit_stacker,
    majority,
    mean_logit,
    vote_entropy,
)
from judges.errors import DataError
from tests.judges.calibration.made_logits import judged_panel

NAN = float("nan")
STACKER = fit_stacker(*judged_panel(80, (1, 2, 3)), l2=1)
panels = arrays(np.float64, (3, 6), elements=st.floats(-8, 8, allow_subnormal=False) | st.just(NAN))


@given(panels)
def test_swapping_negates_every_combination(panel: np.ndarray) -> None:
    np.testing.assert_array_equal(mean_logit(-panel), -mean_logit(panel))
    np.testing.assert_array_equal(majority(-panel), 1 - majority(panel))
    np.testing.assert_array_equal(vote_entropy(-panel), vote_entropy(panel))
    np.testing.assert_allclose(STACKER.apply(-panel), -STACKER.apply(panel))


@given(panels)
def test_only_a_pair_that_all_judges_left_is_unscored(panel: np.ndarray) -> None:
    for combined in (mean_logit(panel), majority(panel), STACKER.apply(panel)):
        assert (np.isnan(combined) == np.isnan(panel).all(axis=0)).all()


def test_counted_by_hand() -> None:
    panel = np.array([[2.0, -1, NAN, NAN], [4.0, 1, 3, NAN], [NAN, 0, -6, NAN]])
    np.testing.assert_array_equal(mean_logit(panel), [3, 0, -1.5, NAN])
    np.testing.assert_array_equal(majority(panel), [1, 0.5, 0.5, NAN])
    np.testing.assert_allclose(vote_entropy(panel), [0, np.log2(3), 1, NAN])
    found = disagreement(panel, seed=0)
    assert found.n == 3
    assert found.differ.value == pytest.approx(2 / 3)
    assert found.entropy.value == pytest.approx((np.log2(3) + 1) / 3)


def test_stacker_as_scikit_learn_on_both_orders() -> None:
    panel, labels = judged_panel(200, (1, 2, 4))
    theirs = LogisticRegression(C=1 / 6, tol=1e-10, max_iter=1000)
    x = panel.clip(-5, 5).T
    theirs.fit(np.vstack([x, -x]), np.r_[labels, 1 - labels])
    assert theirs.intercept_[0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(fit_stacker(panel, labels, l2=3).weights, theirs.coef_[0], atol=1e-5)


def test_better_judges_weigh_more_and_contrary_ones_less_than_nothing() -> None:
    panel, labels = judged_panel(1000, (1, 4))
    stacker = fit_stacker(
        np.vstack([panel, -judged_panel(1000, (1,), 0)[0]]), labels, l2=1, contrary=True
    )
    good, poor, contrary = stacker.weights
    assert good > poor > 0 > contrary
    floored = fit_stacker(
        np.vstack([panel, -panel[:1]]), labels, l2=1
    )  # fmt: skip
    assert floored.weights[2] == 0
    np.testing.assert_allclose(floored.weights[:2], fit_stacker(panel, labels, l2=1).weights)


def test_one_sure_judge_is_clipped() -> None:
    stacker = fit_stacker(*judged_panel(200, (1, 1)), l2=1, clip=3)
    np.testing.assert_allclose(stacker.apply([[900.0], [1.0]]), stacker.apply([[3.0], [1.0]]))


def test_length_is_weighed_when_given() -> None:
    panel, labels = judged_panel(500, (1.0,))
    rng = np.random.default_rng(0)
    lengths = np.where(labels[:, None] == 1, (300, 100), (100, 300)) + rng.integers(
        0, 400, (500, 2)
    )
    stacker = fit_stacker(panel, labels, lengths=lengths, l2=1)
    assert stacker.length_weight is not None
    assert stacker.length_weight > 0.2
    swapped = stacker.apply(-panel, lengths[:, ::-1])
    np.testing.assert_allclose(swapped, -stacker.apply(panel, lengths))
    with pytest.raises(DataError, match="lengths"):
        stacker.apply(panel)


def test_stacker_names_itself_and_its_panel() -> None:
    panel, labels = judged_panel(50, (1, 2))
    stacker = fit_stacker(panel, labels, l2=1)
    assert stacker.n == 50
    assert stacker.digest != fit_stacker(panel, labels, l2=2).digest
    with pytest.raises(DataError, match="1 judges for 2 weights"):
        stacker.apply(panel[:1])


def test_pairs_nobody_judged_teach_nothing() -> None:
    panel, labels = judged_panel(50, (1, 2))
    longer = np.hstack([panel, np.full((2, 9), NAN)])
    stacker = fit_stacker(longer, np.r_[labels, np.zeros(9)], l2=1)
    assert stacker == fit_stacker(panel, labels, l2=1)


def test_noise_asks_for_a_stronger_pull_than_signal() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (20, 80))
    labels = (np.random.default_rng(1).random(80) < 0.5).astype(float)
    signal = judged_panel(400, (0.5, 0.5))
    assert choose_l2(noise, labels, seed=0) > choose_l2(*signal, seed=0)
