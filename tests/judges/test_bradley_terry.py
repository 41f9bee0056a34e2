"""Strengths from pairwise probabilities: exact where they are consistent, fair where not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from judges.bradley_terry import LARGEST_LOGIT, Floats, fit_bradley_terry

strengths = arrays.arrays(
    float, st.integers(2, 7), elements=st.floats(-4, 4, allow_nan=False, width=32)
)


def consistent(strength_N: Floats) -> Floats:
    return 1 / (1 + np.exp(-(strength_N[:, None] - strength_N[None, :])))


@given(strengths)
def test_consistent_probabilities_give_back_their_strengths(strength_N: Floats) -> None:
    fitted = fit_bradley_terry(consistent(strength_N)[None])[0]
    np.testing.assert_allclose(fitted, strength_N - strength_N.mean(), atol=1e-6)


@given(strengths, st.randoms(use_true_random=False))
def test_a_tree_of_observed_pairs_is_enough(strength_N: Floats, random: object) -> None:
    n = len(strength_N)
    p = np.full((n, n), np.nan)
    full = consistent(strength_N)
    for j in range(1, n):
        i = random.randrange(j)  # type: ignore[attr-defined]
        p[i, j], p[j, i] = full[i, j], full[j, i]
    fitted = fit_bradley_terry(p[None])[0]
    np.testing.assert_allclose(fitted, strength_N - strength_N.mean(), atol=1e-5)


def antisymmetric(n: int, seed: int) -> Floats:
    """Probabilities that no strengths explain."""
    logit = np.random.default_rng(seed).normal(0, 2, (n, n))
    return np.asarray(1 / (1 + np.exp(-np.triu(logit, 1) + np.triu(logit, 1).T)))


@given(st.integers(3, 6), st.integers(0, 999))
def test_strengths_are_zero_mean_and_solve_the_likelihood(n: int, seed: int) -> None:
    p = antisymmetric(n, seed)
    s = fit_bradley_terry(p[None])[0]
    assert s.mean() == pytest.approx(0, abs=1e-9)
    slope = (p - consistent(s)) * ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(slope.sum(1), 0, atol=1e-6)


@given(st.integers(2, 6), st.integers(0, 999))
def test_relabelling_the_completions_relabels_the_strengths(n: int, seed: int) -> None:
    p = antisymmetric(n, seed)
    order = np.random.default_rng(seed + 1).permutation(n)
    relabelled = fit_bradley_terry(p[order][:, order][None])[0]
    np.testing.assert_allclose(relabelled, fit_bradley_terry(p[None])[0][order], atol=1e-6)


@given(st.integers(2, 6), st.integers(0, 999))
def test_turning_every_verdict_round_negates_the_strengths(n: int, seed: int) -> None:
    p = antisymmetric(n, seed)
    both = fit_bradley_terry(np.stack([p, 1 - p]))
    np.testing.assert_allclose(both[1], -both[0], atol=1e-6)


def test_many_tournaments_at_once_are_each_alone() -> None:
    p = np.stack([antisymmetric(4, seed) for seed in range(20)])
    alone = np.concatenate([fit_bradley_terry(p[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(fit_bradley_terry(p), alone, atol=1e-8)


def test_a_certain_pair_does_not_set_the_scale_to_infinity() -> None:
    p = np.array([[[0.5, 1.0], [0.0, 0.5]]])
    np.testing.assert_allclose(fit_bradley_terry(p)[0], [LARGEST_LOGIT / 2, -LARGEST_LOGIT / 2])


def test_certain_pairs_among_many_still_order_them() -> None:
    n = 5
    p = np.triu(np.ones((n, n)), 1) + 0.5 * np.eye(n)
    fitted = fit_bradley_terry(p[None])[0]
    assert np.isfinite(fitted).all()
    assert (np.diff(fitted) < 0).all()


def test_a_completion_without_observed_pairs_gets_zero_and_shifts_nobody() -> None:
    p = np.full((1, 3, 3), np.nan)
    p[0, 0, 2], p[0, 2, 0] = 0.9, 0.1
    strength = np.log(9) / 2
    np.testing.assert_allclose(fit_bradley_terry(p)[0], [strength, 0, -strength], atol=1e-6)
