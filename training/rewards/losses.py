"""The losses of reward models, on all pairs of a prompt at once.

With d = r_i - r_j and p the label, a pair costs -p·log σ(d) - (1-p)·log σ(-d) = softplus(d) - p·d,
least at σ(d) = p. A prompt costs the mean over its pairs, so that one with many completions counts
no more than one with two (InstructGPT, Ouyang et al. 2022, section 3.5: each completion is encoded
once, all its pairs stand in one batch).

Axis suffixes: `_B` prompts, `_H` heads, `_N` completions of a prompt.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def pair_losses(
    reward_BHN: torch.Tensor, p_BHNN: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean loss over each prompt's labelled pairs, by head, and whether it has any.

    p is NaN where a pair has no label; each pair counts once, by its upper half.
    Shapes: (B, H, N), (B, H, N, N) → (B, H), (B, H).
    """
    gap = reward_BHN.unsqueeze(-1) - reward_BHN.unsqueeze(-2)
    labelled = ~torch.isnan(p_BHNN) & _upper(p_BHNN)
    p = torch.where(labelled, p_BHNN, 0.5)
    loss = torch.where(labelled, softplus(gap) - p * gap, 0.0)
    count = labelled.sum((-1, -2))
    return loss.sum((-1, -2)) / count.clamp(min=1), count > 0


def ranking_loss(
    reward_BHN: torch.Tensor, p_BHNN: torch.Tensor, weight_BH: torch.Tensor
) -> torch.Tensor:
    """The mean pair loss over prompts, each weighed by how far a head applies, then over heads.

    Zero, with a gradient of zero, where nothing is labelled. Shapes: as `pair_losses`, () out.
    """
    loss_BH, has_BH = pair_losses(reward_BHN, p_BHNN)
    return _mean_of_heads(loss_BH, weight_BH * has_BH)


def scope_loss(logit_BH: torch.Tensor, applies_BH: torch.Tensor) -> torch.Tensor:
    """Cross-entropy between a scope's P(applies) and its label, over prompts, then over heads.

    NaN where a prompt has no label of a scope. Shapes: (B, H), (B, H) → ().
    """
    known = ~torch.isnan(applies_BH)
    label = torch.where(known, applies_BH, 0.5)
    loss_BH = binary_cross_entropy_with_logits(logit_BH, label, reduction="none")
    return _mean_of_heads(loss_BH, known.to(loss_BH.dtype))


def centring_loss(reward_BHN: torch.Tensor, present_BN: torch.Tensor) -> torch.Tensor:
    """The squared mean reward of each prompt's completions, averaged over prompts and heads.

    Pairs fix rewards up to a constant for each prompt; this chooses the constant. For a pair it
    is a quarter of TRL's (r1 + r2)². Source: Eisenstein et al. 2023, arXiv:2312.09244, section 2.
    Shapes: (B, H, N), (B, N) → ().
    """
    present = present_BN.unsqueeze(1).to(reward_BHN.dtype)
    mean_BH = (reward_BHN * present).sum(-1) / present.sum(-1).clamp(min=1)
    return mean_BH.square().mean()


def label_entropy(p_BHNN: torch.Tensor, weight_BH: torch.Tensor) -> torch.Tensor:
    """The part of the ranking loss that no rewards can avoid: the labels' own doubt."""
    p = p_BHNN.clamp(1e-12, 1 - 1e-12)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    labelled = ~torch.isnan(p_BHNN) & _upper(p_BHNN)
    count = labelled.sum((-1, -2))
    loss_BH = torch.where(labelled, entropy, 0.0).sum((-1, -2)) / count.clamp(min=1)
    return _mean_of_heads(loss_BH, weight_BH * (count > 0))


def _mean_of_heads(loss_BH: torch.Tensor, weight_BH: torch.Tensor) -> torch.Tensor:
    """The weighted mean over prompts of each head that has any, then the mean over these heads."""
    total_H = weight_BH.sum(0)
    mean_H = (loss_BH * weight_BH).sum(0) / total_H.clamp(min=1e-12)
    seen_H = total_H > 0
    return torch.where(seen_H, mean_H, 0.0).sum() / seen_H.sum().clamp(min=1)


def _upper(p_BHNN: torch.Tensor) -> torch.Tensor:
    n = p_BHNN.shape[-1]
    return torch.ones(n, n, dtype=torch.bool, device=p_BHNN.device).triu(1)
