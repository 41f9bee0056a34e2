"""Planted weights come back from ranked completions, and held-out prompts say how well."""

import numpy as np
import pytest
from scipy.optimize import linprog

from judges.calibration.estimates import FloatArray, IntArray
from judges.errors import DataError
from judges.propositions.fit import Fitting, fit_weights, ranked_pairs, ranking_accuracy
from judges.propositions.hinge import fit_hinge

PLANTED = np.array([2.0, -3.0, 1.0, 0.0])
NAMES = ("a", "b", "c", "d")
QUICK = Fitting(folds=4)


def planted(
    prompts: int = 80, seed: int = 0, noise: float = 0.0
) -> tuple[FloatArray, list[int], IntArray]:
    """Four completions a prompt, ranked by the planted weights."""
    rng = np.random.default_rng(seed)
    phi = rng.random((prompts * 4, 4))
    score = phi @ PLANTED + noise * rng.normal(size=len(phi))
    ranks = np.argsort(np.argsort(-score.reshape(-1, 4), axis=1), axis=1).ravel()
    groups = np.repeat(np.arange(prompts), 4).tolist()
    return phi, groups, ranked_pairs(groups, ranks)


def test_pairs_are_of_one_prompt_better_first_without_ties_or_unknown_ranks() -> None:
    pairs = ranked_pairs(["x", "y", "x", "x", "y", "y"], [1, 0, 0, 1, 2, -1])
    assert sorted(map(tuple, pairs.tolist())) == [(1, 4), (2, 0), (2, 3)]


def test_planted_weights_are_recovered_in_direction_and_rank_new_prompts() -> None:
    phi, groups, pairs = planted()
    found = fit_weights(phi, NAMES, pairs, groups, fitting=QUICK)
    w = np.array(found.weights)
    assert w @ PLANTED / np.linalg.norm(w) / np.linalg.norm(PLANTED) > 0.995
    assert found.held_out_accuracy is not None
    assert found.held_out_accuracy.value > 0.95
    assert found.held_out_accuracy.n == found.pairs == 480
    assert (found.prompts, found.folds, found.pairs_unscored) == (80, 4, 0)
    other, other_groups, other_pairs = planted(seed=1)
    assert ranking_accuracy(found.score(other), other_pairs, other_groups).value > 0.95


def test_nothing_to_learn_is_half_right_held_out() -> None:
    phi, groups, pairs = planted()
    shuffled = np.random.default_rng(8).random(phi.shape)
    found = fit_weights(shuffled, NAMES, pairs, groups, fitting=QUICK)
    assert found.held_out_accuracy is not None
    assert found.held_out_accuracy.low < 0.5 < found.held_out_accuracy.high
    assert found.accuracy.value > found.held_out_accuracy.value


def test_the_solution_is_the_linear_programmes() -> None:
    phi, _, pairs = planted(20, noise=1.0)
    differences = phi[pairs[:, 0]] - phi[pairs[:, 1]]
    count = len(differences)
    found = fit_hinge(differences, np.ones(count), 1e-6, np.zeros(4))
    exact = linprog(
        np.concatenate([np.zeros(4), np.full(count, 1 / count)]),
        A_ub=-np.hstack([differences, np.eye(count)]),
        b_ub=-np.ones(count),
        bounds=[(None, None)] * 4 + [(0, None)] * count,
    )
    assert found.loss == pytest.approx(exact.fun, abs=2e-3)
    assert found.gap < 2e-3


def test_one_statement_and_one_pair_have_the_closed_form() -> None:
    # min max(0, 1 − w/2) + l2·w²/2 stops at the margin, w = 2, while l2 is small.
    assert fit_hinge(np.array([[0.5]]), np.ones(1), 0.01, np.zeros(1)).weights_F == pytest.approx(
        [2.0], abs=0.01
    )
    # With much l2 it stops where the slopes meet, w = ½ / l2.
    assert fit_hinge(np.array([[0.5]]), np.ones(1), 1.0, np.zeros(1)).weights_F == pytest.approx(
        [0.5], abs=1e-4
    )


def test_signs_are_kept_and_the_gap_still_holds() -> None:
    phi, groups, pairs = planted()
    found = fit_weights(phi, NAMES, pairs, groups, signs=[-1, 1, 1, 0], fitting=QUICK)
    assert found.weights[0] == 0
    assert found.weights[1] == 0
    assert found.weights[2] > 0
    assert found.gap < 1e-3


def test_all_pairs_with_their_margin_are_clipped() -> None:
    phi = np.array([[1.0], [0.0], [1.0], [0.0]])
    pairs = np.array([[0, 1], [2, 3]])
    found = fit_weights(phi, ["a"], pairs, [0, 0, 1, 1])
    assert found.frac_clipped.value == found.accuracy.value == 1
    assert found.loss < 1e-3
    assert found.folds == 2


def test_a_base_reward_that_ranks_by_itself_leaves_nothing_to_fit() -> None:
    phi, groups, pairs = planted()
    found = fit_weights(phi, NAMES, pairs, groups, base_N=1e4 * phi @ PLANTED, fitting=QUICK)
    assert np.abs(found.weights).max() < 0.2
    assert found.accuracy.value == 1
    with pytest.raises(DataError, match="fitted with a base reward"):
        found.score(phi)


def test_pairs_with_a_missing_answer_are_left_out_and_counted() -> None:
    phi, groups, pairs = planted()
    phi[0, 2] = np.nan
    found = fit_weights(phi, NAMES, pairs, groups, fitting=QUICK)
    assert (found.pairs, found.pairs_unscored) == (477, 3)
    assert np.isnan(found.score(phi)[0])


def test_a_single_prompt_has_no_held_out_number() -> None:
    found = fit_weights(np.array([[1.0], [0.0]]), ["a"], np.array([[0, 1]]), [0, 0])
    assert (found.held_out_accuracy, found.held_out_frac_clipped, found.folds) == (None, None, 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"names": ("a",)}, "give one a statement", id="too few names"),
        pytest.param(
            {"pairs_P2": np.array([[0, 4]])}, "completions of two prompts", id="a pair apart"
        ),
        pytest.param({"pairs_P2": np.empty((0, 2), int)}, "none of 0 pairs", id="no pair"),
        pytest.param({"fitting": Fitting(l2=0)}, "must be above 0", id="no penalty"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change: dict[str, object], complaint: str) -> None:
    phi, groups, pairs = planted(5)
    given: dict[str, object] = {
        "phi_NF": phi,
        "names": NAMES,
        "pairs_P2": pairs,
        "groups": groups,
        "fitting": QUICK,
    }
    with pytest.raises(DataError, match=complaint):
        fit_weights(**(given | change))  # type: ignore[arg-type]
