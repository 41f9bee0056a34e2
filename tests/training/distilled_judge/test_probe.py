"""A linear probe teaches what it can tell of pairs that it did not see, and nothing else."""

import numpy as np
import pytest

from judges.records import Message
from training.distilled_judge.probe import cross_fit, taught_by
from training.distilled_judge.questions import Asked, PairQuestions

PAIRS, SIZE = 400, 20


def made(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States whose first number says which is better, and what noisy people said."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(PAIRS, SIZE))
    better = x[:, 0] > 0
    said = np.where(random.random(PAIRS) < noise, ~better, better)
    return x, np.where(said, 0.8, 0.2)


def test_it_tells_more_than_the_noisy_labels_that_it_learns_from() -> None:
    x, said = made(noise=0.35)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    better = x[:, 0] > 0
    assert ((taught.p_B > 0.5) == better).mean() > 0.73 > ((said > 0.5) == better).mean()
    assert 0.55 < taught.right < 0.7


def test_swapping_the_completions_swaps_what_it_says() -> None:
    x, said = made(noise=0.25)
    groups = [str(row) for row in range(PAIRS)]
    here, there = cross_fit(x, said, groups), cross_fit(-x, 1 - said, groups)
    assert here.p_B == pytest.approx(1 - there.p_B, abs=1e-4)


def test_states_that_say_nothing_teach_nothing() -> None:
    """By heart it would tell nearly all; a pair that opens alike may not help either."""
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=(PAIRS // 2, SIZE * 10)), 2, axis=0)
    said = np.repeat(np.where(random.random(PAIRS // 2) < 0.5, 0.8, 0.2), 2)
    taught = cross_fit(x, said, [str(row // 2) for row in range(PAIRS)])
    assert taught.right < 0.6
    assert np.abs(taught.p_B - 0.5).mean() < 0.12


def test_its_share_goes_to_the_principle_and_its_opposite_only() -> None:
    asked = (Asked("p", 0.8, "plain"), Asked("not p", 0.2, "opposite"), Asked("q", 1.0, "contrast"))
    pair = PairQuestions("here", (Message(role="user", content="x"),), "a", "b", asked)
    x, said = made(noise=0.25)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    taught = taught._replace(p_B=np.array([0.4]))
    (told,) = taught_by([pair], taught, 0.5)
    assert [one.p_first for one in told.asked] == pytest.approx([0.6, 0.4, 1.0])
    assert taught_by([pair], taught, 0.0) == [pair]


def test_its_log_odds_are_scaled_to_a_spread() -> None:
    x, said = made(noise=0.25)
    taught = cross_fit(x, said, [str(row) for row in range(PAIRS)])
    asked = (Asked("p", 0.8, "plain"),)
    pairs = [PairQuestions("here", (Message(role="user", content="x"),), "a", "b", asked)] * PAIRS
    labels = np.array([one.asked[0].p_first for one in taught_by(pairs, taught, 1.0, spread=2.0)])
    assert np.std(np.log(labels / (1 - labels))) == pytest.approx(2.0)
    assert ((labels > 0.5) == (taught.p_B > 0.5)).all()
