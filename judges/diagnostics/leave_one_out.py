"""Every verdict without each principle in turn, from the same votes: no model call."""

from dataclasses import dataclass

import numpy as np

from judges.aggregate import Bools, Floats, Scheme
from judges.diagnostics.pair_votes import TIE, PairVerdicts, PairVotes, decide, scheme_without


@dataclass(frozen=True)
class LeftOut:
    """Who wins each pair with all principles, and without each."""

    side_B: Floats
    """With all: 1 first, 0 second, 0.5 tie; NaN unscored."""
    side_BP: Floats
    """Without the principle of the column."""

    @property
    def decided_BP(self) -> Bools:
        """Pairs a principle decides: without it the winner turns, or is lost in a tie."""
        before = self.side_B[:, None]
        won = ~np.isnan(before) & (before != TIE)
        return np.asarray(won & self.scored_BP & (self.side_BP != before))

    @property
    def flipped_BP(self) -> Bools:
        """Pairs whose label changes in any way, a tie resolved included."""
        return np.asarray(self.scored_BP & (self.side_BP != self.side_B[:, None]))

    @property
    def scored_BP(self) -> Bools:
        """Pairs that have a verdict with and without the principle."""
        return np.asarray(~np.isnan(self.side_BP) & ~np.isnan(self.side_B)[:, None])


def leave_one_out(votes: PairVotes, verdicts: PairVerdicts, scheme: Scheme) -> LeftOut:
    """Who wins each pair without each principle. Cost: one aggregation a principle."""
    side_BP = np.empty(votes.logit_BP.shape)
    for principle in range(len(votes.names)):
        without = decide(votes.without(principle), scheme_without(scheme, principle))
        side_BP[:, principle] = without.side_B
    return LeftOut(verdicts.side_B, side_BP)


def agreement(side: Floats, label: Floats) -> Floats:
    """1 where a winner is the one people prefer, 0 where not, a tie of either a half; NaN unknown.

    As `judges.calibration.metrics.correctness`, of sides.
    """
    return np.asarray(0.5 + 0.5 * np.sign(side - 0.5) * np.sign(label - 0.5))
