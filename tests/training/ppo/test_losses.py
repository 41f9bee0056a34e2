"""PPO's losses and its KL controller, pinned by numbers worked out by hand."""

import math

import pytest
import torch

from training.ppo.kl_control import adapted_coefficient
from training.ppo.losses import (
    clipped_policy_loss,
    clipped_value_loss,
    k3,
    truncated_importance_weights,
)
from training.ppo.settings import KlControl


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def policy_loss(ratio: float, advantage: float, weight: float = 1.0) -> tuple[float, float, bool]:
    new = row(math.log(ratio)).requires_grad_()
    loss, _, clipped = clipped_policy_loss(
        new, row(0.0), row(advantage), row(weight), row(True), 0.2
    )
    loss.backward()
    assert new.grad is not None
    return float(loss.detach()), float(new.grad), bool(clipped)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        pytest.param(1.0, 2.0, -2.0, -2.0, id="at ratio one it is the policy gradient"),
        pytest.param(1.1, 2.0, -2.2, -2.2, id="a small step counts whole"),
        pytest.param(1.5, 2.0, -2.4, 0.0, id="too likely a good token is pushed no further"),
        pytest.param(0.5, 2.0, -1.0, -1.0, id="a good token grown unlikely is pulled back"),
        pytest.param(0.5, -2.0, 1.6, 0.0, id="too unlikely a bad token is pushed no further"),
        pytest.param(1.5, -2.0, 3.0, 3.0, id="a bad token grown likely is pushed down"),
    ],
)
def test_policy_loss(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    found, slope, clipped = policy_loss(ratio, advantage)
    assert found == pytest.approx(loss)
    assert slope == pytest.approx(gradient)
    assert clipped == (gradient == 0.0)


def test_importance_weight_scales_the_loss_of_its_token() -> None:
    assert policy_loss(1.1, 2.0, weight=0.5)[0] == pytest.approx(-1.1)


def test_padding_adds_nothing_to_losses_however_wild() -> None:
    mask = torch.tensor([[True, False]])
    loss, ratio, _ = clipped_policy_loss(
        row(0.0, 800.0), row(0.0, 0.0), row(1.0, 9.0), row(1.0, 1.0), mask, 0.2
    )
    assert (float(loss), ratio.tolist()) == (-1.0, [[1.0, 1.0]])
    assert (
        float(clipped_value_loss(row(1.0, 50.0), row(1.0, 0.0), row(0.0, 0.0), mask, 0.2)[0]) == 0.5
    )


@pytest.mark.parametrize(
    ("value", "old", "wanted", "loss"),
    [
        pytest.param(0.1, 0.0, 1.0, 0.405, id="near the old value it is half the squared error"),
        pytest.param(0.9, 0.0, 1.0, 0.32, id="a step too far is not rewarded beyond the clip"),
        pytest.param(-0.9, 0.0, 1.0, 1.805, id="a step the wrong way counts whole"),
    ],
)
def test_value_loss(value: float, old: float, wanted: float, loss: float) -> None:
    found, clipped = clipped_value_loss(row(value), row(old), row(wanted), row(True).bool(), 0.2)
    assert float(found) == pytest.approx(loss)
    assert bool(clipped) == (value == 0.9)


def test_importance_weights_are_cut_at_the_cap_only_above_and_carry_no_gradient() -> None:
    learner = row(math.log(0.6), math.log(0.1), -5.0).requires_grad_()
    sampler = row(math.log(0.1), math.log(0.4), 0.0)
    mask = torch.tensor([[True, True, False]])
    weights = truncated_importance_weights(learner, sampler, mask, cap=2.0)
    assert weights[0].tolist() == pytest.approx([2.0, 0.25, 1.0])
    assert not weights.requires_grad


def test_k3_is_the_divergence_in_expectation_and_never_negative() -> None:
    old, new = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.4, 0.4, 0.2])
    estimates = k3(new.log(), old.log())
    assert float((old * estimates).sum()) == pytest.approx(float((old * (old / new).log()).sum()))
    assert (estimates >= 0).all()


@pytest.mark.parametrize(
    ("kl", "coefficient"),
    [
        pytest.param(6.0, 0.05, id="on target it stays"),
        pytest.param(6.6, 0.0505, id="a tenth above: up by a hundredth"),
        pytest.param(60.0, 0.051, id="far above: the error counts as 0.2"),
        pytest.param(0.0, 0.049, id="far below: down by as much"),
    ],
)
def test_coefficient_follows_the_kl(kl: float, coefficient: float) -> None:
    control = KlControl(coefficient=0.05, target=6.0)
    assert adapted_coefficient(0.05, kl, control) == pytest.approx(coefficient)


def test_without_a_target_the_coefficient_is_fixed() -> None:
    assert adapted_coefficient(0.3, 100.0, KlControl()) == 0.3
