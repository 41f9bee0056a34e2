"""How often a reward model orders a pair as its label does, with an interval over prompts."""

from collections.abc import Sequence

import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import Estimate, share_estimate
from training.rewards.examples import RankedPrompt

TIE = 0.05
"""A label nearer to 0.5 than this names no better side."""


def outcomes(reward_N: Floats, p_NN: Floats, margin: float = TIE) -> list[float]:
    """For each pair whose label names a better side: 1 where rewards agree, 0.5 where equal."""
    i, j = np.triu_indices(len(reward_N), 1)
    label = p_NN[i, j] - 0.5
    told = ~np.isnan(label) & (np.abs(label) >= margin) & (label != 0)
    side = np.sign(reward_N[i] - reward_N[j]) * np.sign(label)
    return list((0.5 + 0.5 * side[told]).tolist())


def accuracy(
    rewards: Sequence[Floats], prompts: Sequence[RankedPrompt], head: int = 0
) -> Estimate | None:
    """Accuracy of one head; None where no label names a better side.

    `rewards` holds for each prompt its completions' rewards. Shapes: (N,) or (N, H) each.
    """
    told: list[float] = []
    groups: list[int] = []
    for number, (reward, one) in enumerate(zip(rewards, prompts, strict=True)):
        column = reward if reward.ndim == 1 else reward[:, head]
        right = outcomes(column, one.p_HNN[head])
        told += right
        groups += [number] * len(right)
    return share_estimate(np.array(told), groups) if told else None
