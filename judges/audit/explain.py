"""Does any principle want what the labels favour? If none does, something else put it there."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from judges.audit.pairs import AuditPairs
from judges.calibration.estimates import Estimate, FloatArray, IntArray
from judges.records import Record


class PrinciplePull(Record):
    """What one principle, by its own votes, gives the side that has a feature."""

    principle: str
    """Its id."""
    pull: Estimate
    """Mean log-odds for the side with the feature, over pairs that it tells apart; the interval
    is widened for the number of principles."""


class Explanation(NamedTuple):
    """Which principles favour a feature that the labels favour."""

    pulls: list[PrinciplePull]
    """Each principle that voted, the strongest pull in the favoured direction first."""
    explained: bool | None
    """Whether one of them favours it too, beyond doubt; None where no principle voted."""


def explain(pairs: AuditPairs, sign_n: IntArray, favoured: int) -> Explanation:
    """Each principle's votes regressed on a feature, through the origin: a pair has no first side.

    `favoured` is 1 where the labels favour the feature, −1 where they avoid it. Pairs are taken
    in any direction, so that which side was chosen does not bend the slope. Shapes: (n,).
    """
    count = max(1, len(pairs.principles))
    pulls = []
    for name, logits in pairs.principles.items():
        pull = _pull(logits, sign_n, pairs.groups, count)
        if pull is not None:
            pulls.append(PrinciplePull(principle=name, pull=pull))
    pulls.sort(key=lambda one: -favoured * one.pull.value)
    if not pulls:
        return Explanation([], None)
    nearest = [one.pull.low if favoured > 0 else -one.pull.high for one in pulls]
    return Explanation(pulls, max(nearest) > 0)


def _pull(logits: FloatArray, sign_n: IntArray, groups: IntArray, count: int) -> Estimate | None:
    known = (sign_n != 0) & ~np.isnan(logits)
    n = int(known.sum())
    if n < 2:
        return None
    towards = logits[known] * sign_n[known]
    value = float(towards.mean())
    _, number = np.unique(groups[known], return_inverse=True)
    sums = np.bincount(number, weights=towards - value)
    if len(sums) < 2:
        return None
    spread = math.sqrt(float(np.sum(sums**2)) * len(sums) / (len(sums) - 1)) / n
    reach = float(-ndtri(0.025 / count)) * spread
    return Estimate(value=value, low=value - reach, high=value + reach, n=n)
