"""Whether streams of numbers have drifted upward, with a false-alarm rate that holds for ever.

Each new value is ranked among all earlier ones of its stream. While nothing changes, all orders of
the values are equally likely, so that the ranks are independent and uniform, whatever the values
are distributed like. Bets against that make a martingale for every moment at which a change may
have begun; their weighted sum is one too, so that the chance that it ever reaches 1/alpha is at
most alpha (Ville). No model, no tuned baseline, no end of the run to be fixed beforehand.

Memory: a histogram a stream. Values equal in it are ranked among each other by lot, which keeps
the guarantee exact and costs only power.
Source: conformal test martingales, Vovk, Nouretdinov and Gammerman 2003; change detection with
them, Volkhonskiy et al. 2017, arXiv:1706.03415; the sum over starts with weights 1/(j(j+1)),
Shin, Ramdas and Rinaldo 2024, arXiv:2203.03532, there with other e-values.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import FloatArray, IntArray

BINS = 2048
POWERS = np.array([0.1, 0.3, 0.5, 0.7])
"""A bet pays power * p ** (power - 1) on a rank p: the smaller the power, the bolder the bet."""


@dataclass
class Drift:
    """S streams of values in [0, 1], each watched for a rise."""

    counts_SB: IntArray
    """How many values of each stream fell into each bin."""
    wealth_SE: FloatArray
    """Logarithm of what the bets begun so far are worth, by stream and power."""

    @classmethod
    def fresh(cls, streams: int) -> Self:
        """Streams that nothing has been seen of."""
        return cls(
            np.zeros((streams, BINS), np.int64), np.full((streams, len(POWERS)), -np.inf, float)
        )

    @property
    def seen_S(self) -> IntArray:
        """Values seen of each stream."""
        return np.asarray(self.counts_SB.sum(axis=1))

    def add(self, values_S: npt.ArrayLike, luck_S: npt.ArrayLike) -> FloatArray:
        """Take in a value of each stream, NaN for none; returns each stream's evidence.

        The evidence is the logarithm of the martingale: a drift is established at -log(alpha).
        `luck_S` decides ties: uniform on (0, 1], independent of all else.
        """
        values, luck = np.asarray(values_S, float), np.asarray(luck_S, float)
        there = np.flatnonzero(~np.isnan(values))
        if len(there):
            bins = np.clip(values[there] * BINS, 0, BINS - 1).astype(np.int64)
            held = self.counts_SB[there]
            above = (held * (np.arange(BINS) > bins[:, None])).sum(axis=1)
            equal = held[np.arange(len(there)), bins] + 1
            seen = held.sum(axis=1) + 1
            rank = (above + luck[there] * equal) / seen
            self._bet(there, rank, seen)
            self.counts_SB[there, bins] += 1
        return self.evidence_S()

    def _bet(self, there: IntArray, rank: FloatArray, seen: IntArray) -> None:
        begun = -np.log(seen) - np.log(seen + 1.0)
        pays = np.log(POWERS) + (POWERS - 1) * np.log(rank)[:, None]
        self.wealth_SE[there] = np.logaddexp(self.wealth_SE[there], begun[:, None]) + pays

    def evidence_S(self) -> FloatArray:
        """Logarithm of each stream's martingale, the bets not yet begun included."""
        kept = -np.log(self.seen_S + 1.0)
        whole = np.logaddexp(self.wealth_SE, kept[:, None])
        return np.asarray(np.logaddexp.reduce(whole, axis=1) - np.log(len(POWERS)))

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it; bins without a value are left out."""
        return {
            "counts": [
                [[int(b), int(row[b])] for b in np.flatnonzero(row)] for row in self.counts_SB
            ],
            "wealth": [[None if np.isinf(x) else float(x) for x in row] for row in self.wealth_SE],
        }

    @classmethod
    def load(cls, kept: dict[str, Any]) -> Self:
        """What `dump` wrote."""
        drift = cls.fresh(len(kept["counts"]))
        for row, filled in zip(drift.counts_SB, kept["counts"], strict=True):
            for number, count in filled:
                row[number] = count
        drift.wealth_SE = np.array(
            [[-np.inf if x is None else x for x in row] for row in kept["wealth"]], float
        )
        return drift
