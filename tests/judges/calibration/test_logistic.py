"""The optimum, against scikit-learn and against the slope of the loss."""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from judges.calibration.logistic import fit_logistic

rng = np.random.default_rng(0)
FEATURES = rng.normal(0, 2, (300, 4))
LABELS = (rng.random(300) < expit(FEATURES @ [1, -0.5, 0.2, 0])).astype(np.float64)
WEIGHTS = rng.random(300) + 0.5


def test_as_scikit_learn() -> None:
    theirs = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=1000)
    theirs.fit(FEATURES, LABELS, sample_weight=WEIGHTS)
    ours = fit_logistic(FEATURES, LABELS, WEIGHTS, l2=2.0)
    np.testing.assert_allclose(ours, theirs.coef_[0], atol=1e-6)


def test_a_soft_label_is_its_share_of_hard_ones() -> None:
    soft = fit_logistic(FEATURES, np.full(300, 0.3), WEIGHTS, l2=1.0)
    doubled = np.vstack([FEATURES, FEATURES])
    hard = fit_logistic(
        doubled, np.r_[np.ones(300), np.zeros(300)], np.r_[0.3 * WEIGHTS, 0.7 * WEIGHTS], l2=1.0
    )
    np.testing.assert_allclose(soft, hard, atol=1e-8)


def test_bounds_hold_and_slopes_there_push_outward() -> None:
    beta = fit_logistic(FEATURES, LABELS, WEIGHTS, l2=0.1, lowest=0.0)
    gradient = FEATURES.T @ (WEIGHTS * (expit(FEATURES @ beta) - LABELS)) + 0.1 * beta
    assert beta[1] == 0
    assert gradient[1] > 0
    np.testing.assert_allclose(gradient[beta > 0], 0, atol=1e-6)


def test_equal_columns_share_the_weight() -> None:
    beta = fit_logistic(np.repeat(FEATURES[:, :1], 2, axis=1), LABELS, WEIGHTS, l2=1.0)
    np.testing.assert_allclose(beta[0], beta[1])
