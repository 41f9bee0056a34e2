"""From the rewards of a step's completions to pairs with soft labels: pure functions."""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Pair(NamedTuple):
    """Two completions of one prompt, by their places in the step."""

    chosen: int
    rejected: int
    p_chosen: float
    """Probability that the chosen one is better."""


class Pairing(NamedTuple):
    """A step's pairs, and how many prompts gave none."""

    pairs: list[Pair]
    equal: int
    """Prompts whose scored completions all have the same reward."""
    lacking: int
    """Prompts with fewer than two scored completions."""


def make_pairs(
    groups: Sequence[Hashable], rewards: Sequence[float | None], scale: float, soft: bool
) -> Pairing:
    """The best against the worst of each group; of equals the one drawn first.

    What is unscored is in no pair. The label is the Bradley-Terry probability of the difference of
    rewards, over `scale`.
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    pairs, equal, lacking = [], 0, 0
    for places in members.values():
        scored = [(value, place) for place in places if (value := rewards[place]) is not None]
        if len(scored) < 2:
            lacking += 1
            continue
        best, worst = max(scored, key=_first_of_equals), min(scored)
        if best[0] == worst[0]:
            equal += 1
            continue
        label = soft_label((best[0] - worst[0]) / scale) if soft else 1.0
        pairs.append(Pair(best[1], worst[1], label))
    return Pairing(pairs, equal, lacking)


def soft_label(gap: float) -> float:
    """σ(gap). Source: Bradley and Terry 1952."""
    return 1 / (1 + math.exp(-gap)) if gap > -700 else 0.0


def _first_of_equals(one: tuple[float, int]) -> tuple[float, int]:
    return one[0], -one[1]
