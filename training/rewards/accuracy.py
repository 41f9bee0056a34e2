"""How often a reward model orders a pair as its label does, with an interval over prompts.

Beside it what length alone would do on the same pairs: an accuracy of 0.6 is nothing where the
shorter completion is the better one in 0.6 of the pairs.
"""

from collections.abc import Sequence

import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import Estimate, mean_estimate, share_estimate
from judges.records import Record
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


class LengthNulls(Record):
    """What length alone gets right of a head's pairs, and how far the head is above it."""

    shorter: Estimate
    """Accuracy of preferring the completion of fewer tokens."""
    longer: Estimate
    """Accuracy of preferring the completion of more."""
    above: Estimate
    """Accuracy of the head less that of the better of the two, pair by pair."""


def accuracy(
    rewards: Sequence[Floats], prompts: Sequence[RankedPrompt], head: int = 0
) -> Estimate | None:
    """Accuracy of one head; None where no label names a better side.

    `rewards` holds for each prompt its completions' rewards. Shapes: (N,) or (N, H) each.
    """
    right, groups = _outcomes_of(rewards, prompts, head)
    return share_estimate(right, groups) if groups else None


def length_nulls(
    rewards: Sequence[Floats],
    lengths: Sequence[Floats],
    prompts: Sequence[RankedPrompt],
    head: int = 0,
    seed: int = 0,
) -> LengthNulls | None:
    """The nulls on the pairs that `accuracy` is of. Shapes: rewards as there, lengths (N,) each."""
    right, groups = _outcomes_of(rewards, prompts, head)
    if not groups:
        return None
    longer, _ = _outcomes_of(lengths, prompts, head)
    return beside_length(right, longer, groups, seed)


def beside_length(
    right_S: Floats, longer_S: Floats, groups: Sequence[int], seed: int
) -> LengthNulls:
    """The nulls of S pairs by their outcomes: the head's, and those of preferring the longer."""
    better_S = longer_S if longer_S.mean() >= 0.5 else 1 - longer_S
    return LengthNulls(
        shorter=share_estimate(1 - longer_S, groups),
        longer=share_estimate(longer_S, groups),
        above=mean_estimate(right_S - better_S, groups, seed=seed),
    )


def _outcomes_of(
    rewards: Sequence[Floats], prompts: Sequence[RankedPrompt], head: int
) -> tuple[Floats, list[int]]:
    """The outcome of each pair of a head, and which prompt it is of; lengths are of all heads."""
    told: list[float] = []
    groups: list[int] = []
    for number, (reward, one) in enumerate(zip(rewards, prompts, strict=True)):
        column = reward if reward.ndim == 1 else reward[:, head]
        right = outcomes(column, one.p_HNN[head])
        told += right
        groups += [number] * len(right)
    return np.array(told, float), groups
