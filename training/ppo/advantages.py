"""From one score a completion to an advantage a token: pure functions of tensors.

Shapes everywhere: `_B` completions, `_BT` completions by tokens, padded at the right; `mask_BT` is
true on the tokens of a completion, its end-of-text token included. Padding is zero in all results.
"""

from collections.abc import Callable
from typing import Any

import torch

EPSILON = 1e-8

Sum = Callable[[Any], Any]
"""Adds a tensor up over all processes; nothing to add where there is one."""


def alone(value: Any) -> Any:
    """The sum over all processes where there is one."""
    return value


def missing_eos_penalised(scores_B: Any, finished_B: Any, penalty: float) -> Any:
    """Scores, less by the penalty where the completion was cut off before its end of text.

    Without it a policy learns to talk on past the length limit, where nothing is held against it.
    Source: Huang et al. 2024, arXiv:2403.17031, detail 4 ("EOS trick").
    """
    return torch.where(finished_B, scores_B, scores_B - penalty)


def per_token_kl(policy_BT: Any, reference_BT: Any, mask_BT: Any) -> Any:
    """The log-ratio of policy to reference at each sampled token (estimator k1).

    Its sum over a completion is an unbiased sample of the KL divergence, in nats. It belongs into
    the reward: as a term of the loss, k1 has no gradient in expectation, and k3 a biased one.
    """
    return (policy_BT - reference_BT) * mask_BT


def token_rewards(scores_B: Any, kl_BT: Any, mask_BT: Any, kl_coefficient: float) -> Any:
    """The reward of each token: minus the KL penalty, plus the score at the last token.

    Source: Ziegler et al. 2019, arXiv:1909.08593, equation 2.
    """
    rewards_BT = -kl_coefficient * kl_BT * mask_BT
    last_B = mask_BT.sum(dim=1) - 1
    rows_B = torch.arange(len(scores_B), device=scores_B.device)
    rewards_BT[rows_B, last_B] += scores_B
    return rewards_BT


def generalised_advantages(
    rewards_BT: Any, values_BT: Any, mask_BT: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Advantages, and the returns that values are fitted to.

    After the last token the value is 0, whether the completion ended or was cut off: what a
    cut-off costs is the missing-EOS penalty's to say.
    Source: Schulman et al. 2015, arXiv:1506.02438, equation 16.
    """
    values_BT = values_BT * mask_BT
    next_B = torch.zeros_like(values_BT[:, 0])
    advantage_B = torch.zeros_like(next_B)
    columns: list[Any] = []
    for t in reversed(range(values_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * next_B - values_BT[:, t]
        # Padding stands to the right: it is met first, and leaves nothing behind.
        advantage_B = (delta_B + gamma * lam * advantage_B) * mask_BT[:, t]
        next_B = values_BT[:, t]
        columns.append(advantage_B)
    advantages_BT = torch.stack(columns[::-1], dim=1)
    return advantages_BT, (advantages_BT + values_BT) * mask_BT


def masked_mean(values_BT: Any, mask_BT: Any, total: Sum = alone) -> Any:
    """The mean over the tokens of all completions, of all processes."""
    sums = total(torch.stack([(values_BT * mask_BT).sum(), mask_BT.sum().to(values_BT.dtype)]))
    return sums[0] / sums[1].clamp(min=1)


def whitened(values_BT: Any, mask_BT: Any, *, shift_mean: bool = True, total: Sum = alone) -> Any:
    """Values over their standard deviation; about zero, or about the mean they had.

    Advantages are shifted. Rewards are not: their mean says whether a completion is worth its KL.
    Source: Huang et al. 2024, arXiv:2403.17031, details 17 and 18.
    """
    mean = masked_mean(values_BT, mask_BT, total)
    variance = masked_mean((values_BT - mean) ** 2, mask_BT, total)
    scaled_BT = (values_BT - mean) * torch.rsqrt(variance + EPSILON)
    return (scaled_BT if shift_mean else scaled_BT + mean) * mask_BT
