"""Standardising, taking length off, gating and combining: exact on what they are measured on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.aggregate import Scheme
from judges.errors import DataError
from judges.rewards.arithmetic import (
    GATE,
    LARGEST_PART,
    combine_members,
    fit_length_slopes,
    measure_heads,
    scalar_reward,
    standardise,
    take_length_off,
)
from judges.rewards.description import SMALLEST_SPREAD, Head, RewardDescription

HARD, NORMAL = 0, 2


def described(*heads: Head, centre: float = 0.0) -> RewardDescription:
    return RewardDescription(heads=heads, weights="w", max_length=99, length_centre=centre)


def scheme(*principles: tuple[int, float]) -> Scheme:
    tiers, weights = zip(*principles, strict=True)
    return Scheme(np.array(tiers), np.array(weights, float), 0.05, 1.0, 0.0, 0.8)


def test_standardising_the_reference_set_gives_mean_0_and_spread_1() -> None:
    raw = np.random.default_rng(0).normal([3.0, -7.0], [2.0, 0.5], (50, 2))
    mean, std = measure_heads(raw)
    heads = [Head(name=str(k), mean=mean[k], std=std[k]) for k in range(2)]
    standard = standardise(raw, described(*heads))
    assert standard.mean(0) == pytest.approx([0, 0], abs=1e-12)
    assert standard.std(0) == pytest.approx([1, 1], abs=1e-12)


def test_a_head_that_says_nothing_is_not_blown_up() -> None:
    _, std = measure_heads(np.array([[1.0], [1.001], [0.999]]))
    assert std.tolist() == [SMALLEST_SPREAD]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param([[1.0]], "1 reference completions", id="one text"),
        pytest.param([[1.0], [np.nan]], "no number", id="not a number"),
    ],
)
def test_reference_sets_that_measure_nothing(raw: list[list[float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure_heads(np.array(raw))


def test_length_taken_off_leaves_no_length_within_prompts() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(40), 4)
    tokens = rng.integers(5, 200, 160)
    quality = rng.normal(size=160)
    prompt = rng.normal(0, 5, 40)[group]
    raw = np.column_stack([quality + 0.8 * np.log1p(tokens) + prompt, quality + prompt])
    slopes = fit_length_slopes(raw, tokens, group)
    assert slopes[0] - slopes[1] == pytest.approx(0.8)
    heads = [Head(name=str(k), length_slope=slopes[k]) for k in range(2)]
    rest = take_length_off(raw, tokens, described(*heads))
    assert fit_length_slopes(rest, tokens, group) == pytest.approx([0, 0], abs=1e-9)
    assert rest[:, 0] - rest[:, 1] == pytest.approx(np.zeros(160), abs=1e-9)


def test_lengths_that_never_differ_within_a_prompt_have_no_slope() -> None:
    tokens, group = np.array([5, 5, 90, 90]), np.array([0, 0, 1, 1])
    raw = np.array([[1.0], [2.0], [8.0], [9.0]])
    assert fit_length_slopes(raw, tokens, group).tolist() == [0.0]


def test_taking_length_off_changes_nothing_at_the_reference_length() -> None:
    description = described(Head(name="reward", length_slope=3.0), centre=float(np.log1p(20)))
    raw = np.array([[1.5], [1.5]])
    rest = take_length_off(raw, np.array([20, 200]), description)
    assert rest[0, 0] == pytest.approx(1.5)
    assert rest[1, 0] < 0


def test_reward_is_the_weighted_mean_of_what_applies() -> None:
    standard = np.array([[1.0, -0.5, 2.0]])
    applies = np.array([[1.0, 0.5, 0.01]])
    found = scalar_reward(standard, applies, scheme((NORMAL, 2), (NORMAL, 2), (NORMAL, 9)))
    assert found.tolist() == pytest.approx([(2 * 1.0 + 1 * -0.5) / 3])


def test_a_hard_tier_gates_whatever_the_rest_is_worth() -> None:
    rules = scheme((HARD, 1), (NORMAL, 100))
    standard = np.array([[GATE + 0.01, -9.0], [GATE - 0.01, 9.0], [GATE - 2.0, 9.0]])
    passes, breaks, breaks_badly = scalar_reward(standard, np.ones((3, 2)), rules)
    assert passes >= -LARGEST_PART > breaks > breaks_badly


@pytest.mark.parametrize("applies", [0.0, 0.3])
def test_a_hard_tier_that_hardly_applies_does_not_gate(applies: float) -> None:
    found = scalar_reward(
        np.array([[-5.0, 1.0]]), np.array([[applies, 1.0]]), scheme((HARD, 1), (NORMAL, 9))
    )
    assert found[0] > -LARGEST_PART


def test_a_hard_principle_without_weight_does_not_gate() -> None:
    found = scalar_reward(np.array([[-9.0, 1.0]]), np.ones((1, 2)), scheme((HARD, 0), (NORMAL, 1)))
    assert found.tolist() == [1.0]


def test_one_head_driven_far_gains_no_more() -> None:
    found = scalar_reward(np.array([[3.0], [300.0]]), np.ones((2, 1)), scheme((NORMAL, 1)))
    assert found[0] == found[1] == LARGEST_PART


rewards = st.lists(
    st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=6
).map(np.array)


@given(rewards, st.floats(0, 5))
def test_least_is_under_the_mean_and_doubt_costs(reward: np.ndarray, penalty: float) -> None:
    mean = combine_members(reward, "mean")
    assert (combine_members(reward, "min") <= mean + 1e-9).all()
    doubted = combine_members(reward, "pessimistic", penalty)
    assert doubted == pytest.approx(mean - penalty * reward.var(0))


def test_members_that_agree_lose_nothing() -> None:
    reward = np.array([[1.0, -2.0]] * 4)
    for how in ("mean", "min", "pessimistic"):
        assert combine_members(reward, how).tolist() == [1.0, -2.0]
