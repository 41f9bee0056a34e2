"""PPO's losses as sums over tokens, so that micro-batches add up to exactly one batch.

Shapes: `_BT` completions by tokens; `mask_BT` is true on the tokens that count.
"""

from typing import Any

import torch


def clipped_policy_loss(
    new_BT: Any, old_BT: Any, advantages_BT: Any, weights_BT: Any, mask_BT: Any, clip: float
) -> tuple[Any, Any, Any]:
    """The clipped surrogate loss, the ratio, and where clipping holds.

    `weights_BT` corrects for a sampler that is not the learner; 1 where it is.
    Returns: the sum of the loss over tokens; ratio and clipped [B, T].
    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7.
    """
    ratio_BT = torch.exp((new_BT - old_BT) * mask_BT)
    plain_BT = -advantages_BT * ratio_BT
    clipped_BT = -advantages_BT * ratio_BT.clamp(1 - clip, 1 + clip)
    loss_BT = torch.maximum(plain_BT, clipped_BT) * weights_BT * mask_BT
    return loss_BT.sum(), ratio_BT.detach(), (clipped_BT > plain_BT).detach() & mask_BT


def clipped_value_loss(
    values_BT: Any, old_BT: Any, returns_BT: Any, mask_BT: Any, clip: float
) -> tuple[Any, Any]:
    """Half the squared error of values, no smaller than were they held near what they were.

    Returns: its sum over tokens; where clipping holds [B, T].
    Source: Huang et al. 2024, arXiv:2403.17031; OpenAI baselines, ppo2.
    """
    held_BT = old_BT + (values_BT - old_BT).clamp(-clip, clip)
    plain_BT = (values_BT - returns_BT) ** 2
    clipped_BT = (held_BT - returns_BT) ** 2
    loss_BT = torch.maximum(plain_BT, clipped_BT) * mask_BT
    return 0.5 * loss_BT.sum(), (clipped_BT > plain_BT).detach() & mask_BT


def truncated_importance_weights(learner_BT: Any, sampler_BT: Any, mask_BT: Any, cap: float) -> Any:
    """min(p_learner / p_sampler, cap) of each token, without gradient; 1 on padding.

    A server computes in another number format and with other kernels than the learner, so its
    samples come from a slightly other policy. The cap bounds what one token can weigh.
    Source: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
    training"; Lambert, RLHF book.
    """
    ratio_BT = torch.exp((learner_BT - sampler_BT).detach() * mask_BT)
    return torch.where(mask_BT, ratio_BT.clamp(max=cap), torch.ones_like(ratio_BT))


def k3(new_BT: Any, old_BT: Any) -> Any:
    """A low-variance, never negative estimate of KL(old || new), for metrics only.

    Source: Schulman, "Approximating KL divergence" (2020).
    """
    log_ratio_BT = new_BT - old_BT
    return torch.expm1(log_ratio_BT) - log_ratio_BT
