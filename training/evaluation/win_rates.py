"""How often one policy's answer is preferred to another's: plainly, and at equal length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judges.calibration.estimates import Estimate
from judges.records import Item, Probability, Record
from training.evaluation.length_control import length_controlled
from training.evaluation.statistics import mean_interval

NOISE = "noise:"
"""Leads the ids of pairs of the earlier policy with itself."""


class WinRate(Record):
    """How often one side is preferred; ties count half. With n 0 nothing is known: 0 to 1."""

    rate: Probability
    """Share of pairs won."""
    low: Probability
    """Lower end of the 95 % interval, by bootstrap over prompts."""
    high: Probability
    """Upper end."""
    n: int
    """Pairs scored."""
    unscored: int
    """Pairs left out because the judge gave no verdict."""
    length_controlled: Estimate | None = None
    """The share won if both answers were equally long, after AlpacaEval 2; None where no pair
    differs in length."""


@dataclass(frozen=True)
class Pairs:
    """Two policies' answers, and beside them the earlier policy's with its own."""

    items: Sequence[Item]
    """Each with two completions; the id of one of the second kind begins with `noise:`."""

    @property
    def clusters(self) -> list[str]:
        """The prompt of each: pairs of one prompt are not independent."""
        return [item.id.removeprefix(NOISE).rsplit("#", 1)[0] for item in self.items]

    @property
    def policies(self) -> list[bool]:
        """Whether each is a pair of the two policies."""
        return [not item.id.startswith(NOISE) for item in self.items]

    @property
    def longer(self) -> list[int]:
        """Characters by which the first answer of each is longer."""
        return [len(i.completions[0].text) - len(i.completions[1].text) for i in self.items]


def win_rate(
    pairs: Pairs, verdicts: Sequence[float | None], margin: float, seed: int, *, noise: bool = False
) -> WinRate:
    """Wins over scored pairs; what lies within the tie margin is half a win.

    `noise` counts the pairs of the earlier policy with itself, without length control.
    """
    counted = [side != noise for side in pairs.policies]
    scored = [row for row, p in enumerate(verdicts) if p is not None]
    wins = np.array([_win(verdicts[row], margin) for row in scored])
    names_of = pairs.clusters
    clusters = [names_of[row] for row in scored]
    kept = np.array([counted[row] for row in scored], bool)
    unscored = sum(counted) - int(kept.sum())
    if not kept.any():
        return WinRate(rate=0.5, low=0.0, high=1.0, n=0, unscored=unscored)
    names = [name for name, own in zip(clusters, kept, strict=True) if own]
    interval = mean_interval(wins[kept].tolist(), names, seed=seed)
    longer = np.array(pairs.longer, float)[scored]
    return WinRate(
        rate=interval.mean,
        low=interval.low,
        high=interval.high,
        n=len(names),
        unscored=unscored,
        length_controlled=None
        if noise
        else length_controlled(wins, longer, kept.astype(float), clusters, seed),
    )


def _win(p: float | None, margin: float) -> float:
    assert p is not None
    return 0.5 if abs(p - 0.5) < margin or p == 0.5 else float(p > 0.5)
