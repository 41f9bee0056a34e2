"""Each loss of pairs against its published formula, in numbers worked out with math alone."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.methods.loss_settings import LossSettings

CHOSEN, REJECTED = -12.0, -20.0
REFERENCE_CHOSEN, REFERENCE_REJECTED = -14.0, -17.0
CHOSEN_TOKENS, REJECTED_TOKENS = 6, 16
CHOSEN_MEAN, REJECTED_MEAN = CHOSEN / CHOSEN_TOKENS, REJECTED / REJECTED_TOKENS
RATIO = (CHOSEN - REFERENCE_CHOSEN) - (REJECTED - REFERENCE_REJECTED)  # 2 - (-3) = 5
MEAN_RATIO = 2 / 6 + 3 / 16


def nll(gap: float) -> float:
    """-log σ(gap)."""
    return math.log1p(math.exp(-gap))


def log_odds(mean: float) -> float:
    return mean - math.log(1 - math.exp(mean))


def alpha_reward(mean: float) -> float:
    return float((1 - math.exp(mean) ** -0.25) / 0.25)


FORMULAS: dict[str, tuple[dict[str, Any], float, Callable[[float], float]]] = {
    "sigmoid": ({"beta": 0.1}, 0.1 * RATIO, nll),
    "hinge": ({"beta": 0.1}, 0.1 * RATIO, lambda g: max(0.0, 1 - g)),
    "ipo": ({"beta": 0.1}, MEAN_RATIO, lambda g: (g - 1 / 0.2) ** 2),
    "robust": (
        {"beta": 0.1, "label_smoothing": 0.2},
        0.1 * RATIO,
        lambda g: (0.8 * nll(g) - 0.2 * nll(-g)) / 0.6,
    ),
    "cpo": ({"beta": 0.1}, 0.1 * (CHOSEN - REJECTED), nll),
    "simpo": (
        {"beta": 2.0, "gamma": 1.0},
        2 * (CHOSEN_MEAN - REJECTED_MEAN),
        lambda g: nll(g - 1.0),
    ),
    "alphapo": (
        {"beta": 2.0, "gamma": 1.0, "alpha": 0.25},
        2 * (alpha_reward(CHOSEN_MEAN) - alpha_reward(REJECTED_MEAN)),
        lambda g: nll(g - 1.0),
    ),
    "orpo": ({"beta": 1.0}, log_odds(CHOSEN_MEAN) - log_odds(REJECTED_MEAN), nll),
}


def loss_of(name: str, p: float, **changes: Any) -> float:
    import torch

    from training.methods.pair_losses import PairLogProbs, pair_losses

    settings = LossSettings.model_validate({"name": name, **FORMULAS[name][0], **changes})
    values = [CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED]
    values += [CHOSEN_TOKENS, REJECTED_TOKENS]
    logps = PairLogProbs(*(torch.tensor([value], dtype=torch.float64) for value in values))
    return float(pair_losses(logps, torch.tensor([p], dtype=torch.float64), settings)[0])


@pytest.mark.parametrize("p", [1.0, 0.0, 0.5, 0.7])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_label_weighs_the_published_loss_of_both_directions(name: str, p: float) -> None:
    _, gap, shape = FORMULAS[name]
    assert loss_of(name, p) == pytest.approx(p * shape(gap) + (1 - p) * shape(-gap), rel=1e-9)


def test_numbers_worked_out_by_hand() -> None:
    assert loss_of("sigmoid", 1.0) == pytest.approx(0.474077, abs=1e-6)  # -log σ(0.5)
    assert loss_of("sigmoid", 0.7) == pytest.approx(0.624077, abs=1e-6)  # and 0.3 · 0.5
    assert loss_of("hinge", 1.0) == pytest.approx(0.5)
    assert loss_of("ipo", 1.0) == pytest.approx((0.5208333 - 5) ** 2, rel=1e-6)
    assert loss_of("cpo", 1.0) == pytest.approx(0.371101, abs=1e-6)  # -log σ(0.8)
    assert loss_of("simpo", 1.0) == pytest.approx(2.578890, abs=1e-6)  # -log σ(-1.5 - 1)


def test_conservative_dpo_is_the_soft_loss_of_a_smoothed_label() -> None:
    assert loss_of("sigmoid", 1.0, label_smoothing=0.1) == pytest.approx(loss_of("sigmoid", 0.9))


def test_the_robust_loss_is_unbiased_under_its_noise() -> None:
    """Over labels of which a share of 0.2 is flipped, its mean is the loss of the clean label."""
    clean = loss_of("sigmoid", 1.0)
    assert 0.8 * loss_of("robust", 1.0) + 0.2 * loss_of("robust", 0.0) == pytest.approx(clean)


def test_alphapo_without_alpha_is_simpo() -> None:
    assert loss_of("alphapo", 0.8, alpha=0.0) == pytest.approx(loss_of("simpo", 0.8), rel=1e-12)
    assert loss_of("alphapo", 0.8, alpha=1e-7) == pytest.approx(loss_of("simpo", 0.8), rel=1e-5)


def likelihood_of(p: list[float], weight: list[float]) -> float:
    """Of two pairs: sums -6 and -4 against -10 and -8, tokens 3 and 1 against 5 and 4."""
    import torch

    from training.methods.pair_losses import likelihood_loss

    sums, tokens = torch.tensor([-6.0, -4, -10, -8]), torch.tensor([3, 1, 5, 4])
    return float(likelihood_loss(sums, tokens, torch.tensor(p), torch.tensor(weight)))


@pytest.mark.parametrize(
    ("p", "weight", "expected"),
    [
        pytest.param([1.0, 1.0], [1.0, 1.0], 10 / 4, id="certain: the mean of a chosen token"),
        pytest.param([0.7, 0.9], [1.0, 1.0], 10 / 4, id="doubt teaches nothing of the worse"),
        pytest.param([0.2, 1.0], [1.0, 1.0], 14 / 6, id="turned round: the other side"),
        pytest.param([0.5, 1.0], [1.0, 1.0], 12 / 5, id="a tie: half of either"),
        pytest.param([1.0, 1.0], [0.001, 1.0], 4.006 / 4, id="next to no weight"),
        pytest.param([1.0, 0.0], [0.5, 2.0], 19 / 7, id="weighed"),
    ],
)
def test_the_likelihood_beside_is_of_the_better_side_by_weight(
    p: list[float], weight: list[float], expected: float
) -> None:
    assert likelihood_of(p, weight) == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(FORMULAS)),
    p=st.floats(0, 1),
    sums=st.lists(st.floats(-200, -0.5), min_size=4, max_size=4),
    tokens=st.lists(st.integers(1, 64), min_size=2, max_size=2),
)
def test_a_pair_turned_round_with_its_label_is_the_same_pair(
    name: str, p: float, sums: list[float], tokens: list[int]
) -> None:
    import torch

    from training.methods.pair_losses import PairLogProbs, pair_losses

    constants = LossSettings.model_validate({"name": name, **FORMULAS[name][0]})
    chosen, rejected, reference_chosen, reference_rejected, long, short = (
        torch.tensor([float(value)], dtype=torch.float64) for value in (*sums, *tokens)
    )
    one = PairLogProbs(chosen, rejected, reference_chosen, reference_rejected, long, short)
    other = PairLogProbs(rejected, chosen, reference_rejected, reference_chosen, short, long)
    label = torch.tensor([p], dtype=torch.float64)
    left, right = pair_losses(one, label, constants), pair_losses(other, 1 - label, constants)
    assert float(left) == pytest.approx(float(right), rel=1e-9, abs=1e-9)
    assert math.isfinite(float(left))


@pytest.mark.parametrize("name", ["sigmoid", "ipo"])
def test_a_soft_label_pulls_as_far_as_the_judge_goes(name: Any) -> None:
    """The loss over the gap is least where the policy's own odds are the label's."""
    import torch

    from training.methods.pair_losses import PairLogProbs, pair_losses

    settings = LossSettings(name=name, beta=0.5)
    zero, one = torch.zeros(2001), torch.ones(2001)
    chosen = torch.linspace(-4, 4, 2001)
    logps = PairLogProbs(chosen, zero, zero, zero, one, one)
    best = float(chosen[pair_losses(logps, 0.8 * one, settings).argmin()])
    expected = math.log(0.8 / 0.2) / 0.5 if name == "sigmoid" else (0.8 - 0.2) / (2 * 0.5)
    assert best == pytest.approx(expected, abs=5e-3)
