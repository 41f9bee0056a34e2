"""Each step from a score to an advantage, pinned by numbers worked out by hand."""

import math

import pytest
import torch

from training.ppo.advantages import (
    generalised_advantages,
    masked_mean,
    missing_eos_penalised,
    per_token_kl,
    token_rewards,
    whitened,
)
from training.ppo.batches import TokenSequence
from training.ppo.experience import Drawn, Scored, make_experience
from training.ppo.settings import Shaping

MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_missing_eos_costs_a_fixed_penalty_and_a_finished_completion_nothing() -> None:
    scores = missing_eos_penalised(torch.tensor([2.0, 2.0]), torch.tensor([True, False]), 1.0)
    assert scores.tolist() == [2.0, 1.0]


def test_kl_is_the_log_ratio_of_each_token_and_nothing_on_padding() -> None:
    policy = torch.tensor([[-1.0, -0.5, -2.0], [-1.0, -9.0, -9.0]])
    reference = torch.tensor([[-1.5, -0.25, -2.0], [-3.0, -1.0, -1.0]])
    assert per_token_kl(policy, reference, MASK).tolist() == [[0.5, -0.25, 0.0], [2.0, 0.0, 0.0]]


def test_score_falls_on_the_last_token_and_kl_on_every_token() -> None:
    kl = torch.tensor([[0.5, -0.25, 1.0], [2.0, 0.0, 0.0]])
    rewards = token_rewards(torch.tensor([3.0, -1.0]), kl, MASK, 0.1)
    assert rewards[0].tolist() == pytest.approx([-0.05, 0.025, 2.9])
    assert rewards[1].tolist() == pytest.approx([-1.2, 0.0, 0.0])


def test_advantages_are_discounted_sums_of_surprises() -> None:
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.5, 7.0, 7.0]])
    values = torch.tensor([[0.2, 0.4, 0.6], [0.1, 5.0, 5.0]])
    advantages, returns = generalised_advantages(rewards, values, MASK, gamma=0.9, lam=0.5)
    third = 1.0 - 0.6
    second = 0.9 * 0.6 - 0.4 + 0.45 * third
    first = 0.9 * 0.4 - 0.2 + 0.45 * second
    assert advantages[0].tolist() == pytest.approx([first, second, third])
    assert returns[0].tolist() == pytest.approx([first + 0.2, second + 0.4, 1.0])
    # Padding neither counts nor leaks: the second completion has one token.
    assert advantages[1].tolist() == pytest.approx([0.4, 0.0, 0.0])
    assert returns[1].tolist() == pytest.approx([0.5, 0.0, 0.0])


def test_with_lambda_one_returns_are_plain_sums_of_rewards() -> None:
    rewards = torch.tensor([[0.1, -0.2, 1.0]])
    values = torch.tensor([[3.0, -2.0, 0.7]])
    _, returns = generalised_advantages(rewards, values, MASK[:1], gamma=1.0, lam=1.0)
    assert returns[0].tolist() == pytest.approx([0.9, 0.8, 1.0])


def test_whitened_advantages_have_mean_zero_and_deviation_one_over_real_tokens() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [6.0, 99.0, 99.0]])
    white = whitened(values, MASK)
    deviation = math.sqrt((4 + 1 + 0 + 9) / 4)
    assert white[0].tolist() == pytest.approx([-2 / deviation, -1 / deviation, 0.0])
    assert white[1].tolist() == pytest.approx([3 / deviation, 0.0, 0.0])


def test_whitened_rewards_keep_their_mean() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [6.0, 99.0, 99.0]])
    white = whitened(values, MASK, shift_mean=False)
    assert float(masked_mean(white, MASK)) == pytest.approx(3.0)
    assert float(white[0, 0]) == pytest.approx(3.0 - 2 / math.sqrt(3.5))


def test_constant_values_whiten_to_zero_not_to_noise() -> None:
    assert whitened(torch.full((2, 3), 0.7), MASK).abs().max() < 1e-3


def test_moments_over_two_processes_are_those_of_all_tokens() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [6.0, 99.0, 99.0]])
    whole = whitened(values, MASK)
    # What the other process contributes: its token (6), then its square about the common mean 3.
    others, sums = [[6.0, 1.0], [9.0, 1.0]], []

    def total(part: torch.Tensor) -> torch.Tensor:
        sums.append(part.tolist())
        return part + torch.tensor(others[len(sums) - 1])

    assert whitened(values[:1], MASK[:1], total=total)[0].tolist() == pytest.approx(
        whole[0].tolist()
    )
    assert sums == [[6.0, 3.0], [5.0, 3.0]]


@pytest.mark.parametrize("whiten", [False, True], ids=["as they are", "whitened"])
def test_token_rewards_are_whitened_before_they_become_advantages(whiten: bool) -> None:
    drawn = [
        Drawn(name, TokenSequence([5], tokens), "", True)
        for name, tokens in (("a", [6, 7, 1]), ("b", [1]))
    ]
    zero = torch.zeros(2, 3)
    logprobs = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # one nat from the reference
    scored = Scored(MASK, logprobs, zero, zero, zero, None)
    shaping = Shaping(whiten_rewards=whiten, lam=1.0)
    experience, told = make_experience(drawn, scored, torch.tensor([3.0, -1.0]), shaping, 0.5)
    rewards = torch.tensor([0.0, -0.5, 3.0, -1.0])
    if whiten:
        mean = rewards.mean()
        rewards = (rewards - mean) / rewards.std(unbiased=False) + mean
    first, second, third, only = rewards.tolist()
    sums = [first + second + third, second + third, third]
    assert experience.advantages[0].tolist() == pytest.approx(sums, abs=1e-6)
    assert experience.returns[1].tolist() == pytest.approx([only, 0.0, 0.0], abs=1e-6)
    assert told.rlhf_reward == pytest.approx((2.5 - 1) / 2)
