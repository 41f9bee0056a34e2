"""How principles relate: do they say the same, or contradict each other, on the same pairs?

No number depends on which completion of a pair stands first: correlation is over both directions
of each pair, which makes Spearman's ranks signed ranks with mean 0.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from judges.aggregate import Floats
from judges.calibration.estimates import Estimate
from judges.diagnostics.column_estimates import column_estimates, ratio, share_of
from judges.diagnostics.pair_votes import PairVotes
from judges.records import Record


class Relation(Record):
    """Two principles on the pairs where both have a vote and are in scope."""

    first: str
    """A principle's id."""
    second: str
    """Another's."""
    n: int
    """Pairs where both are active."""
    correlation: Estimate | None
    """Spearman's, of their logits, both directions of each pair; None where one never differs."""
    sign_agreement: Estimate | None
    """Share of pairs with the same winner, where both name one; None where there are none."""
    contradiction: Estimate | None
    """Share of pairs on which both are decisive, and for different sides."""


@dataclass(frozen=True)
class Margins:
    """When a principle alone names a winner, and when it does so decisively."""

    tie_margin: float
    decisive: float


def relations(votes: PairVotes, margins: Margins, *, seed: int) -> list[Relation]:
    """Every two principles' relation. Source: Spearman 1904; intervals resample prompts."""
    active = votes.active_BP
    logit = np.where(active, votes.logit_BP, 0.0)
    winner = np.sign(logit) * (np.abs(0.5 * np.tanh(logit / 2)) >= margins.tie_margin)
    decisive = np.sign(logit) * (np.abs(logit) > margins.decisive)
    two = list(combinations(range(len(votes.names)), 2))
    found = _correlations(votes, two, seed)
    group_B = votes.group_B
    return [
        Relation(
            first=votes.names[a],
            second=votes.names[b],
            n=int((active[:, a] & active[:, b]).sum()),
            correlation=correlation,
            sign_agreement=share_of(
                winner[:, a] == winner[:, b], winner[:, a] * winner[:, b] != 0, group_B
            ),
            contradiction=share_of(
                decisive[:, a] * decisive[:, b] < 0, active[:, a] & active[:, b], group_B
            ),
        )
        for (a, b), correlation in zip(two, found, strict=True)
    ]


def _correlations(votes: PairVotes, two: list[tuple[int, int]], seed: int) -> list[Estimate | None]:
    if not two:
        return []
    active = votes.active_BP
    rank = np.column_stack([_signed_ranks(x) for x in np.where(active, votes.logit_BP, np.nan).T])
    a, b = np.array(two).T
    both = active[:, a] & active[:, b]
    columns = np.hstack([rank[:, a] * rank[:, b], rank[:, a] ** 2 * both, rank[:, b] ** 2 * both])
    width = len(two)

    def spearman(totals: Floats) -> Floats:
        product, square_a, square_b = (
            totals[..., :width], totals[..., width : 2 * width], totals[..., 2 * width :]
        )  # fmt: skip
        return np.clip(ratio(product, np.sqrt(square_a * square_b)), -1.0, 1.0)

    return column_estimates(columns, spearman, both.sum(0), votes.group_B, seed=seed)


def _signed_ranks(logit_B: Floats) -> Floats:
    """Ranks among the logits and their negatives, centred on 0, scaled to 1; 0 where unknown.

    Scaling keeps totals exact enough; it cancels in a correlation.
    """
    known = ~np.isnan(logit_B)
    ranks = np.zeros(len(logit_B))
    size = np.abs(logit_B[known])
    if len(size):
        ranks[known] = np.sign(logit_B[known]) * (_ranks(size) - 0.5) / len(size)
    return ranks


def _ranks(values_B: Floats) -> Floats:
    """Ranks from 1, equals sharing their mean rank, without scipy.stats' long import."""
    _, place_B, counts = np.unique(values_B, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(mean_rank[place_B])
