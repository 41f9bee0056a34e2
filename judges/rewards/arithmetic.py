"""What is done with a reward model's raw outputs: pure arithmetic over arrays, no model.

Axis suffixes: `_S` texts, `_H` heads, `_P` principles, `_M` members of an ensemble.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from judges.aggregate import SCOPE_FLOOR, TIERS, Floats, Scheme
from judges.errors import DataError
from judges.rewards.description import SMALLEST_SPREAD, RewardDescription

Integers = npt.NDArray[np.int64]
Combine = Literal["mean", "min", "pessimistic"]

LARGEST_PART = 3.0
"""Standard deviations beyond which a principle's part of a reward no longer grows: a policy gains
nothing by driving one head to where it was never trained."""
GATE = -1.0
"""Standard deviations from the reference mean below which a hard-tier principle is broken."""
APPLIES = 0.5
"""From this P(applies) up, a hard-tier principle gates."""


def measure_heads(output_SH: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of each head on a reference set; a spread is at least SMALLEST_SPREAD.

    Raises: DataError for fewer than two texts, or an output that is no number.
    """
    if len(output_SH) < 2:
        raise DataError(f"{len(output_SH)} reference completions; use at least 2, better 500")
    if not np.isfinite(output_SH).all():
        raise DataError("the model's output on a reference completion is no number; train it anew")
    return output_SH.mean(0), np.maximum(output_SH.std(0), SMALLEST_SPREAD)


def standardise(output_SH: Floats, description: RewardDescription) -> Floats:
    """Outputs in standard deviations from the reference mean; scopes stay log-odds."""
    mean = np.array([head.mean for head in description.heads])
    std = np.array([head.std for head in description.heads])
    return np.asarray((output_SH - mean) / std)


def fit_length_slopes(output_SH: Floats, tokens_S: Integers, group_S: Integers) -> Floats:
    """What each head gains by a unit of log(1 + tokens), within the completions of a prompt.

    Between prompts length and reward go together for reasons of the prompt's; only what longer
    answers to the *same* prompt gain is taken for bias. Zero where no prompt's answers differ.
    Shapes: (S, H), (S,), (S,) → (H,).
    Source: post-hoc calibration, Huang et al. 2024, arXiv:2409.17407; linear in log length.
    """
    length_S = np.log1p(tokens_S)
    inside = length_S - _group_means(length_S[:, None], group_S)[:, 0]
    total = float(inside @ inside)
    if total < 1e-12:
        return np.zeros(output_SH.shape[1])
    return np.asarray(inside @ (output_SH - _group_means(output_SH, group_S)) / total)


def take_length_off(
    output_SH: Floats, tokens_S: Integers, description: RewardDescription
) -> Floats:
    """Outputs less what their length alone gains; unchanged at the reference set's mean length."""
    slope = np.array([head.length_slope for head in description.heads])
    return np.asarray(output_SH - slope * (np.log1p(tokens_S) - description.length_centre)[:, None])


def _group_means(value_SX: Floats, group_S: Integers) -> Floats:
    """Each text's mean over its group."""
    _, place_S = np.unique(group_S, return_inverse=True)
    sums = np.zeros((int(place_S.max(initial=-1)) + 1, value_SX.shape[1]))
    np.add.at(sums, place_S, value_SX)
    return np.asarray((sums / np.bincount(place_S)[:, None])[place_S])


def scalar_reward(standard_SP: Floats, applies_SP: Floats, scheme: Scheme) -> Floats:
    """One reward for each completion: the weighted mean over principles, gated by the hard tier.

    A completion that falls short of GATE on a hard-tier principle that applies is worth less than
    any that falls short of none, and the less the further it falls.
    Shapes: (S, P), (S, P) → (S,). Range: [-2, 1] · LARGEST_PART, below -1 where gated.
    """
    applies = np.where(applies_SP < SCOPE_FLOOR, 0.0, applies_SP)
    weight = scheme.weight_P * applies
    total = weight.sum(1)
    parts = weight * np.clip(standard_SP, -LARGEST_PART, LARGEST_PART)
    mean = np.divide(parts.sum(1), total, out=np.zeros(len(total)), where=total > 0)
    gates = (scheme.tier_P == TIERS.index("hard")) & (scheme.weight_P > 0) & (applies >= APPLIES)
    short = np.where(gates, GATE - standard_SP, 0.0).max(1, initial=0.0)
    return np.where(short > 0, -LARGEST_PART - np.minimum(short, LARGEST_PART), mean)


def combine_members(reward_MS: Floats, how: Combine, penalty: float = 0.5) -> Floats:
    """One reward of several models': their mean, their least, or the mean less penalty · variance.

    Members must be on one scale: standardise each first. Coste et al. take a penalty of 0.5 for
    best-of-n and 0.1 for PPO; it is the variance, not the deviation. Shapes: (M, S) → (S,).
    Source: Coste et al. 2024, arXiv:2310.02743, section 4.
    """
    if how == "min":
        return np.asarray(reward_MS.min(0))
    mean = reward_MS.mean(0)
    return np.asarray(mean if how == "mean" else mean - penalty * reward_MS.var(0))
