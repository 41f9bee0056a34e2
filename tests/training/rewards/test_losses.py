"""The losses against their closed forms, value and gradient, and what they do to rewards."""

import math

import numpy as np
import pytest
import torch

from training.rewards.losses import (
    centring_loss,
    label_entropy,
    pair_losses,
    ranking_loss,
    scope_loss,
)

NAN = math.nan


def table(*labels: tuple[int, int, float], n: int) -> torch.Tensor:
    """Labels of some pairs, both halves. Shapes: (1, 1, n, n)."""
    p = torch.full((n, n), NAN, dtype=torch.float64)
    for i, j, label in labels:
        p[i, j], p[j, i] = label, 1 - label
    return p[None, None]


def rewards(*values: float) -> torch.Tensor:
    return torch.tensor([[values]], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("gap", [-3.0, 0.0, 0.7, 40.0])
def test_soft_label_pair_has_the_closed_form_and_its_gradient(p: float, gap: float) -> None:
    reward = rewards(gap, 0.0)
    loss = ranking_loss(reward, table((0, 1, p), n=2), torch.ones(1, 1))
    log_sigmoid = torch.nn.functional.logsigmoid(torch.tensor([gap, -gap], dtype=torch.float64))
    assert loss.item() == pytest.approx(float(-p * log_sigmoid[0] - (1 - p) * log_sigmoid[1]))
    loss.backward()
    slope = 1 / (1 + math.exp(-gap)) - p
    assert reward.grad is not None
    assert reward.grad[0, 0].tolist() == pytest.approx([slope, -slope], abs=1e-12)


def test_all_pairs_of_a_prompt_are_averaged_and_unlabelled_ones_left_out() -> None:
    values = (1.0, -0.5, 0.3, 2.0)
    labels = [(0, 1, 0.8), (0, 2, 0.5), (1, 3, 0.1)]
    loss = ranking_loss(rewards(*values), table(*labels, n=4), torch.ones(1, 1))
    by_hand = [
        -p * math.log(1 / (1 + math.exp(values[j] - values[i])))
        - (1 - p) * math.log(1 / (1 + math.exp(values[i] - values[j])))
        for i, j, p in labels
    ]
    assert loss.item() == pytest.approx(sum(by_hand) / 3)


def test_the_same_completions_in_another_order_cost_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(1, 1, 5, generator=generator, dtype=torch.float64)
    logit = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    p = torch.sigmoid(logit - logit.T)[None, None]
    order = torch.tensor([3, 0, 4, 1, 2])
    one = ranking_loss(reward, p, torch.ones(1, 1))
    other = ranking_loss(reward[..., order], p[..., order, :][..., order], torch.ones(1, 1))
    assert one.item() == pytest.approx(other.item(), abs=1e-12)


def test_a_prompt_with_many_pairs_counts_no_more_than_one_with_one() -> None:
    many, few = table(*[(0, j, 1.0) for j in range(1, 4)], n=4), table((0, 1, 1.0), n=4)
    reward = torch.tensor([[[0.0, 0, 0, 0]], [[2.0, 0, 0, 0]]], dtype=torch.float64)
    loss = ranking_loss(reward, torch.cat([many, few]), torch.ones(2, 1))
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)


def test_a_head_without_labels_changes_nothing_and_gets_no_gradient() -> None:
    reward = torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    p = torch.cat([table((0, 1, 1.0), n=2), table(n=2)], 1)
    loss = ranking_loss(reward, p, torch.ones(1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert reward.grad is not None
    assert reward.grad[0, 1].tolist() == [0, 0]
    assert reward.grad[0, 0].tolist() == [-0.5, 0.5]


def test_a_prompt_weighs_as_far_as_the_principle_applies() -> None:
    reward = torch.tensor([[[0.0, 0]], [[3.0, 0]]], dtype=torch.float64)
    p = torch.cat([table((0, 1, 1.0), n=2)] * 2)
    loss = ranking_loss(reward, p, torch.tensor([[0.75], [0.25]], dtype=torch.float64))
    assert loss.item() == pytest.approx(0.75 * math.log(2) + 0.25 * math.log1p(math.exp(-3)))


def test_least_loss_is_the_labels_entropy_where_rewards_match_them() -> None:
    reward = rewards(1.2, 0.0, -0.4)
    gap = reward.detach()[0, 0][:, None] - reward.detach()[0, 0][None, :]
    p = torch.sigmoid(gap)[None, None]
    weight = torch.ones(1, 1, dtype=torch.float64)
    loss = ranking_loss(reward, p, weight)
    loss.backward()
    assert loss.item() == pytest.approx(label_entropy(p, weight).item())
    assert reward.grad is not None
    assert reward.grad.abs().max() < 1e-12


def test_centring_is_the_squared_mean_of_those_present() -> None:
    reward = torch.tensor([[[1.0, 3.0, 100.0]], [[-2.0, -2.0, -2.0]]])
    present = torch.tensor([[True, True, False], [True, True, True]])
    assert centring_loss(reward, present).item() == pytest.approx((4 + 4) / 2)


def test_centring_moves_rewards_to_zero_and_leaves_their_differences() -> None:
    reward = torch.tensor([[[5.0, 4.0, 3.0]]], requires_grad=True)
    gap = float((reward[0, 0, 0] - reward[0, 0, 2]).detach())
    for _ in range(200):
        (gradient,) = torch.autograd.grad(centring_loss(reward, torch.ones(1, 3)), reward)
        reward = (reward - gradient).detach().requires_grad_()
    assert reward.mean().item() == pytest.approx(0, abs=1e-3)
    assert float((reward[0, 0, 0] - reward[0, 0, 2]).detach()) == pytest.approx(gap, abs=1e-5)


def test_scopes_are_learnt_from_probabilities_and_unknown_ones_left_out() -> None:
    logit = torch.tensor([[0.5, 9.0], [-1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    label = torch.tensor([[0.9, NAN], [0.1, NAN]], dtype=torch.float64)
    loss = scope_loss(logit, label)
    loss.backward()
    assert logit.grad is not None
    expected = (torch.sigmoid(logit.detach()[:, 0]) - label[:, 0]) / 2
    assert logit.grad[:, 0].tolist() == pytest.approx(expected.tolist())
    assert logit.grad[:, 1].tolist() == [0, 0]


def test_which_prompts_have_pairs_is_told() -> None:
    p = torch.cat([table((0, 1, 1.0), n=2), table(n=2)])
    loss, has = pair_losses(torch.zeros(2, 1, 2, dtype=torch.float64), p)
    assert has[:, 0].tolist() == [True, False]
    assert np.isfinite(loss.numpy()).all()
