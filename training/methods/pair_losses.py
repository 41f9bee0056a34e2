"""The losses of preference pairs, as pure functions of log-probabilities.

Each is a *shape* over a *gap*. The gap says how much better the policy holds chosen than rejected,
and changes sign when the two are swapped; a label p then gives p·shape(gap) + (1-p)·shape(-gap),
the expected loss when chosen is better with probability p. At p = 1 that is the published loss.

| loss | gap, with r = log π - log π_ref, ℓ = log π, |y| tokens | shape | source |
|---|---|---|---|
| sigmoid | β(r⁺ - r⁻) | -log σ(g) | Rafailov et al. 2023, 2305.18290, eq. 7 |
| robust | the same | (-(1-ε) log σ(g) + ε log σ(-g)) / (1-2ε) | Chowdhury et al. 2024, 2403.00409 |
| hinge | the same | max(0, 1-g) | Zhao et al. 2023, 2305.10425 |
| ipo | r⁺/|y⁺| - r⁻/|y⁻| | (g - 1/2β)² | Azar et al. 2023, 2310.12036, eq. 17 |
| cpo | β(ℓ⁺ - ℓ⁻) | -log σ(g) | Xu et al. 2024, 2401.08417, eq. 3 |
| simpo | β(ℓ⁺/|y⁺| - ℓ⁻/|y⁻|) | -log σ(g - γ) | Meng et al. 2024, 2405.14734, eq. 6 |
| alphapo | β(a⁺ - a⁻), a = (1 - exp(-α ℓ/|y|))/α | -log σ(g - γ) | Gupta et al. 2025, 2501.03884 |
| orpo | log-odds of ℓ⁺/|y⁺| less those of ℓ⁻/|y⁻| | -log σ(g) | Hong et al. 2024, 2403.07691 |

cDPO is the sigmoid loss with every label p replaced by p(1-ε) + (1-p)ε (Mitchell 2023). The soft
sigmoid loss is least at σ(g) = p: a pair the judge doubts pulls only as far as the judge would go.
Lengths are divided out in ipo as its authors confirmed to TRL.
Tried and dropped: `robust` with ε from p per pair is the soft loss too, but divides by 0 at p = ½.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.methods.loss_settings import LossSettings


@dataclass(frozen=True)
class PairLogProbs:
    """What is known of a batch of pairs. Shapes: each [B]."""

    chosen_B: Tensor
    """Log-probability of the chosen completions under the policy, summed over tokens."""
    rejected_B: Tensor
    """The same of the rejected ones."""
    reference_chosen_B: Tensor
    """Under the reference model; 0 for losses without one."""
    reference_rejected_B: Tensor
    """The same of the rejected ones."""
    chosen_tokens_B: Tensor
    """Tokens of the chosen completions."""
    rejected_tokens_B: Tensor
    """Tokens of the rejected ones."""


def pair_losses(logps: PairLogProbs, p_B: Tensor, settings: LossSettings) -> Tensor:
    """The loss of each pair, labels p in [0, 1] that chosen is better. Shapes: [B]."""
    if settings.name != "robust" and settings.label_smoothing:
        p_B = p_B * (1 - settings.label_smoothing) + (1 - p_B) * settings.label_smoothing
    gap_B = gaps(logps, settings)
    return p_B * _shape(gap_B, settings) + (1 - p_B) * _shape(-gap_B, settings)


def likelihood_loss(sum_2B: Tensor, tokens_2B: Tensor, p_B: Tensor, weight_B: Tensor) -> Tensor:
    """Negative log-likelihood a token of the side of each pair that its label calls better.

    Sums over completions and their tokens, all chosen ones first; of a tie, half of either side.
    Not p of one side and 1-p of the other, as in the pair's loss: the term is there to keep the
    better answer likely, and would teach the worse one as well.
    """
    side_B = (torch.sign(p_B - 0.5) + 1) / 2
    better_B, tokens_B = (
        side_B * chosen_B + (1 - side_B) * rejected_B
        for chosen_B, rejected_B in (sum_2B.chunk(2), tokens_2B.chunk(2))
    )
    return -(weight_B * better_B).sum() / tokens_B.sum()


def gaps(logps: PairLogProbs, settings: LossSettings) -> Tensor:
    """How much better the policy holds chosen than rejected. Shapes: [B]."""
    chosen_B, rejected_B = scores(logps, settings)
    return chosen_B - rejected_B


def scores(logps: PairLogProbs, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """The two sides of each gap: the policy's implicit rewards. Shapes: [B] each."""
    chosen_B = _score(logps.chosen_B, logps.reference_chosen_B, logps.chosen_tokens_B, settings)
    rejected_B = _score(
        logps.rejected_B, logps.reference_rejected_B, logps.rejected_tokens_B, settings
    )
    return chosen_B, rejected_B


def _score(sum_B: Tensor, reference_B: Tensor, tokens_B: Tensor, settings: LossSettings) -> Tensor:
    mean_B = sum_B / tokens_B.clamp(min=1)
    match settings.name:
        case "ipo":
            return (sum_B - reference_B) / tokens_B.clamp(min=1)
        case "cpo":
            return settings.beta * sum_B
        case "alphapo" if settings.alpha:
            return settings.beta * -torch.expm1(-settings.alpha * mean_B) / settings.alpha
        case "simpo" | "alphapo":
            return settings.beta * mean_B
        case "orpo":
            return mean_B - _log_one_less_exp(mean_B)
        case _:
            return settings.beta * (sum_B - reference_B)


def _shape(gap_B: Tensor, settings: LossSettings) -> Tensor:
    match settings.name:
        case "robust":
            noise = settings.label_smoothing
            both_B = (1 - noise) * logsigmoid(gap_B) - noise * logsigmoid(-gap_B)
            return -both_B / (1 - 2 * noise)
        case "hinge":
            return torch.relu(1 - gap_B)
        case "ipo":
            return (gap_B - 1 / (2 * settings.beta)) ** 2
        case _:
            return -logsigmoid(gap_B - settings.gamma)


def _log_one_less_exp(x_B: Tensor) -> Tensor:
    """log(1 - exp x) for x < 0, exact near 0 and far from it. Source: Mächler 2012."""
    x_B = x_B.clamp(max=-1e-7)
    return torch.where(x_B > -0.6931, torch.log(-torch.expm1(x_B)), torch.log1p(-torch.exp(x_B)))
