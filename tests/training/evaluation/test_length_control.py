"""A judge that likes length is seen through; one that does not is left as it is."""

import numpy as np
import pytest

from judges.calibration.estimates import Estimate, FloatArray
from training.evaluation.length_control import PRIOR_2, fit_curves, length_controlled


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def judged(
    better: float, liking: float, longer_by: float, n: int = 2000, noise: int = 2000
) -> Estimate | None:
    """What is found where a judge likes the policy by `better` and length by `liking`, in logits.

    The policy's answers are longer by `longer_by` standard deviations on average.
    """
    rng = np.random.default_rng(0)
    policies = np.array([1.0] * n + [0.0] * noise)
    gap = rng.normal(size=n + noise) + longer_by * policies
    p = sigmoid(better * policies + liking * np.tanh(gap / np.std(gap[:n])))
    wins = (rng.random(n + noise) < p).astype(float)
    names = [str(number % n) for number in range(n + noise)]
    return length_controlled(wins, 100 * gap, policies, names, seed=0)


@pytest.mark.parametrize(
    ("better", "liking", "longer_by"),
    [
        pytest.param(0.0, 2.0, 1.5, id="all of the win is length"),
        pytest.param(1.0, 2.0, 1.5, id="part of the win is length"),
        pytest.param(1.0, 2.0, -1.5, id="short answers hide that it is better"),
        pytest.param(-0.5, 0.0, 3.0, id="a judge that does not care about length"),
    ],
)
def test_the_planted_difference_is_found(better: float, liking: float, longer_by: float) -> None:
    found = judged(better, liking, longer_by)
    assert found is not None
    assert found.value == pytest.approx(sigmoid(np.array(better)), abs=0.05)
    assert found.low < sigmoid(np.array(better)) < found.high
    assert found.n == 2000


def test_pairs_of_one_policy_with_itself_tell_length_from_merit() -> None:
    """Where every answer is much longer, only they can: without them the interval is wide."""
    with_them = judged(0.0, 2.0, 4.0, n=500, noise=500)
    without = judged(0.0, 2.0, 4.0, n=500, noise=0)
    assert with_them is not None
    assert without is not None
    assert with_them.high - with_them.low < 0.7 * (without.high - without.low)


def test_swapping_the_sides_mirrors_the_rate() -> None:
    rng = np.random.default_rng(1)
    wins: FloatArray = np.asarray(rng.integers(0, 3, 60), np.float64) / 2
    gap: FloatArray = rng.normal(size=60)
    policies = np.array([1.0] * 40 + [0.0] * 20)
    names = [str(number // 2) for number in range(60)]
    ours = length_controlled(wins, gap, policies, names, seed=0)
    theirs = length_controlled(1 - wins, -gap, policies, names, seed=0)
    assert ours is not None
    assert theirs is not None
    assert theirs.value == pytest.approx(1 - ours.value)
    assert theirs.low == pytest.approx(1 - ours.high)


def swept(longer: FloatArray) -> Estimate:
    """All 30 pairs won, whatever their lengths."""
    names = [str(number) for number in range(30)]
    found = length_controlled(np.ones(30), longer, np.ones(30), names, seed=0)
    assert found is not None
    return found


def test_a_clean_sweep_has_a_rate_short_of_certainty() -> None:
    longer_and_shorter: FloatArray = np.ones(30).cumsum() - 15.5
    assert 0.9 < swept(longer_and_shorter).value < 1


def test_a_clean_sweep_by_longer_answers_alone_is_half_credited_to_length() -> None:
    assert 0.6 < swept(np.ones(30).cumsum()).value < 0.9


def test_equal_lengths_leave_nothing_to_control() -> None:
    assert length_controlled(np.ones(3), np.zeros(3), np.ones(3), list("abc"), seed=0) is None


def test_the_fit_is_the_maximum() -> None:
    """At the coefficients found, the penalised likelihood falls in every direction."""
    rng = np.random.default_rng(2)
    x, wins = rng.normal(size=(50, 2)), rng.integers(0, 2, 50).astype(float)

    def likelihood(at: np.ndarray) -> float:
        p = sigmoid(x @ at)
        return float(np.sum(wins * np.log(p) + (1 - wins) * np.log(1 - p)) - at**2 @ PRIOR_2 / 2)

    found = fit_curves(x, wins, np.ones((1, 50)))[0]
    around = [
        likelihood(found + 0.01 * np.array(way)) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    assert max(around) < likelihood(found)
