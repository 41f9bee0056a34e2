"""A policy's probabilities over the options of a question, out of one chosen token."""

import math
from collections.abc import Sequence

from judges.model import Choice, Failure

LEAST_MASS = 0.01
"""With less probability on all options together, an answer is none of them."""


def spread_over(choice: Choice | Failure, count: int) -> list[float] | None:
    """The probabilities of the first `count` options among themselves; None without an answer."""
    if isinstance(choice, Failure):
        return None
    mass = [math.exp(value) for value in choice.logprobs[:count]]
    return [one / sum(mass) for one in mass] if sum(mass) >= LEAST_MASS else None


def likeliest(spread: Sequence[float]) -> int:
    """The place of the answer; of equals the first."""
    return max(range(len(spread)), key=lambda place: spread[place])


def entropy(spread: Sequence[float]) -> float:
    """Shannon entropy as a share of the most there can be: 0 to 1."""
    return -sum(p * math.log(p) for p in spread if p > 0) / math.log(len(spread))
