"""What one step learns from: completions with their scores, and a number for each token."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from training.ppo.advantages import (
    Sum,
    alone,
    generalised_advantages,
    masked_mean,
    missing_eos_penalised,
    per_token_kl,
    token_rewards,
    whitened,
)
from training.ppo.batches import TokenSequence
from training.ppo.settings import Shaping


class Drawn(NamedTuple):
    """One completion of the current policy."""

    prompt_id: str
    sequence: TokenSequence
    text: str
    finished: bool
    """Whether it ended by itself."""
    sampler_logprobs: Sequence[float] | None = None
    """What the server that drew it says; None where the learner itself drew it."""


class Scored(NamedTuple):
    """What the models say of drawn completions before the step. Shapes: [B, T]."""

    mask: Any
    logprobs: Any
    reference: Any
    values: Any
    entropy: Any
    sampler: Any | None
    """The server's log-probabilities; None where the learner drew."""

    def rows(self, kept: Sequence[int]) -> "Scored":
        """Of some completions only."""
        return Scored(*(None if part is None else part[list(kept)] for part in self))


class Experience(NamedTuple):
    """What the update reads. Shapes: [B, T]."""

    drawn: Sequence[Drawn]
    mask: Any
    old_logprobs: Any
    old_values: Any
    advantages: Any
    returns: Any

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The prompts of some completions."""
        return [self.drawn[row].prompt_id for row in rows]


class ExperienceStatistics(NamedTuple):
    """Of one step, before its update; means over completions unless said otherwise."""

    kl: float
    """Nats a completion: the sampled KL divergence to the reference."""
    rlhf_reward: float
    """Score, less penalties: what PPO maximises."""
    value_explained: float
    """1 - var(returns - values) / var(returns): 1 is perfect, below 0 worse than no values."""
    entropy: float
    """Nats a token."""


def make_experience(
    drawn: Sequence[Drawn],
    scored: Scored,
    scores_B: Any,
    shaping: Shaping,
    kl_coefficient: float,
    total: Sum = alone,
) -> tuple[Experience, ExperienceStatistics]:
    """Advantages and returns of every token, from one score a completion."""
    mask_BT = scored.mask
    finished_B = torch.tensor([one.finished for one in drawn], device=scores_B.device)
    scores_B = missing_eos_penalised(scores_B, finished_B, shaping.missing_eos_penalty)
    kl_BT = per_token_kl(scored.logprobs, scored.reference, mask_BT)
    rewards_BT = token_rewards(scores_B, kl_BT, mask_BT, kl_coefficient)
    rlhf_B = rewards_BT.sum(dim=1)
    if shaping.whiten_rewards:
        rewards_BT = whitened(rewards_BT, mask_BT, shift_mean=False, total=total)
    advantages_BT, returns_BT = generalised_advantages(
        rewards_BT, scored.values, mask_BT, shaping.gamma, shaping.lam
    )
    whole_B = torch.ones_like(scores_B, dtype=torch.bool)
    statistics = ExperienceStatistics(
        kl=float(masked_mean(kl_BT.sum(dim=1), whole_B, total)),
        rlhf_reward=float(masked_mean(rlhf_B, whole_B, total)),
        value_explained=_explained(scored.values, returns_BT, mask_BT, total),
        entropy=float(masked_mean(scored.entropy, mask_BT, total)),
    )
    experience = Experience(
        drawn, mask_BT, scored.logprobs, scored.values * mask_BT, advantages_BT, returns_BT
    )
    return experience, statistics


def _explained(values_BT: Any, returns_BT: Any, mask_BT: Any, total: Sum) -> float:
    def variance(of_BT: Any) -> Any:
        mean = masked_mean(of_BT, mask_BT, total)
        return masked_mean((of_BT - mean) ** 2, mask_BT, total)

    return float(1 - variance(returns_BT - values_BT) / variance(returns_BT).clamp(min=1e-8))
