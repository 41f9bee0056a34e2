"""The votes of a run laid flat, one row a pair, and the verdicts they make under a scheme.

Verdicts come from `judges.aggregate` itself, so that what is said here of a pair is what
`charter reweigh` would write. Axis suffixes: `_B` pairs, `_P` principles, `_R` rankings.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from judges.aggregate import SCOPE_FLOOR, Bools, Floats, Scheme, aggregate
from judges.calibration.estimates import IntArray, group_numbers
from judges.constitutions.constitution import Constitution
from judges.reweigh import CELLS, CHUNK, DECIMALS
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot, Settings, tally_votes

FIRST, TIE, SECOND = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class PairVotes:
    """Every pair of different, filled completions, and each principle's votes on it."""

    names: tuple[str, ...]
    """The principles."""
    logit_BP: Floats
    """Log-odds of the first completion; NaN where a vote is missing."""
    applies_BP: Floats
    """P(applies); NaN where that vote is missing."""
    gap_RP: Floats
    """Log-odds gained by being shown first, a mean over each ranking's pairs; NaN: no votes."""
    ranking_B: IntArray
    """Which ranking the pair is of."""
    side_B2: IntArray
    """Places of its two completions in the ranking."""
    group_R: IntArray
    """Number of each ranking's prompt: what intervals resample."""

    @property
    def group_B(self) -> IntArray:
        """Number of each pair's prompt."""
        return self.group_R[self.ranking_B]

    @property
    def active_BP(self) -> Bools:
        """Where a principle has a vote and is in scope."""
        return np.asarray(~np.isnan(self.logit_BP) & (self.applies_BP >= SCOPE_FLOOR))

    def without(self, principle: int) -> "PairVotes":
        """The votes with one principle left out."""
        return self.only([k for k in range(len(self.names)) if k != principle])

    def only(self, principles: Sequence[int]) -> "PairVotes":
        """The votes of some principles."""
        kept = list(principles)
        return replace(
            self,
            names=tuple(self.names[k] for k in kept),
            logit_BP=self.logit_BP[:, kept],
            applies_BP=self.applies_BP[:, kept],
            gap_RP=self.gap_RP[:, kept],
        )


@dataclass(frozen=True)
class PairVerdicts:
    """What the votes say of each pair."""

    p_B: Floats
    """P(first better), rounded as ranking lines are; NaN where unscored."""
    tier_B: npt.NDArray[np.int64]
    """The tier that decided; -1 where the mean over all did."""
    side_B: Floats
    """1 the first wins, 0 the second, 0.5 a tie by the scheme's margin; NaN unscored."""

    @property
    def scored_B(self) -> Bools:
        """Which pairs have a verdict."""
        return np.asarray(~np.isnan(self.p_B))


def gather_votes(
    ballots: Sequence[Ballot], constitution: Constitution, store: VoteStore
) -> PairVotes:
    """The stored votes on every pair of the ballots.

    Pairs with an empty completion, or two that are equal, say nothing and are left out.
    Cost: no model call; one pass over the stored votes of these conversations.
    """
    parts = [_of_part(rows, ballots, constitution, store) for rows in _alike(ballots, constitution)]
    width = len(constitution.principles)
    gap_RP = np.full((len(ballots), width), np.nan)
    for rows, _, _, gap in parts:
        gap_RP[rows] = gap
    ranking_B = np.concatenate([one[1][:, 0] for one in parts] or [np.zeros(0, int)])
    side_B2 = np.concatenate([one[1][:, 1:] for one in parts] or [np.zeros((0, 2), int)])
    both = np.concatenate([one[2] for one in parts] or [np.zeros((0, 2, width))])
    order = np.lexsort((side_B2[:, 1], side_B2[:, 0], ranking_B))
    return PairVotes(
        names=tuple(principle.id for principle in constitution.principles),
        logit_BP=both[order, 0],
        applies_BP=both[order, 1],
        gap_RP=gap_RP,
        ranking_B=ranking_B[order],
        side_B2=side_B2[order],
        group_R=group_numbers([ballot.conversation for ballot in ballots], len(ballots)),
    )


def _alike(ballots: Sequence[Ballot], constitution: Constitution) -> list[list[int]]:
    """Places of ballots of one size and equal settings, so many together as fit in memory."""
    alike: dict[tuple[int, Settings], list[int]] = defaultdict(list)
    for row, ballot in enumerate(ballots):
        if len(ballot.completions) > 1:
            alike[len(ballot.completions), ballot.settings].append(row)
    parts = []
    for (size, _), rows in alike.items():
        most = max(1, min(CHUNK, CELLS // (size * size * max(1, len(constitution.principles)))))
        parts += [rows[start : start + most] for start in range(0, len(rows), most)]
    return parts


def _of_part(
    rows: list[int], ballots: Sequence[Ballot], constitution: Constitution, store: VoteStore
) -> tuple[list[int], IntArray, Floats, Floats]:
    """The rows, (ranking, i, j) and (logit, applies) of each pair, and the rows' order gaps."""
    some = [ballots[row] for row in rows]
    tally = tally_votes(some, some[0].settings, constitution, store)
    i, j = np.triu_indices(len(some[0].completions), 1)
    text_RN = np.array([ballot.completions for ballot in some])
    told = (text_RN[:, i] != text_RN[:, j]) & (text_RN[:, i] != EMPTY) & (text_RN[:, j] != EMPTY)
    at, pair = np.nonzero(told)
    places = np.column_stack([np.array(rows)[at], i[pair], j[pair]])
    both = np.stack([tally.logit_RPNN[at, :, i[pair], j[pair]], tally.applies_RP[at]], axis=1)
    return rows, places, both, tally.gap_RP


def decide(votes: PairVotes, scheme: Scheme) -> PairVerdicts:
    """The verdict on each pair, as `charter reweigh` gives it."""
    p_B = np.full(len(votes.ranking_B), np.nan)
    tier_B = np.full(len(p_B), -1)
    for start in range(0, len(p_B), CHUNK):
        part = slice(start, start + CHUNK)
        logit = votes.logit_BP[part]
        square = np.zeros((*logit.shape, 2, 2))
        square[:, :, 0, 1], square[:, :, 1, 0] = logit, -logit
        found = aggregate(square, votes.applies_BP[part], scheme)
        p_B[part], tier_B[part] = found.p_RNN[:, 0, 1], found.tier_RNN[:, 0, 1]
    p_B = np.round(p_B, DECIMALS)
    return PairVerdicts(p_B, tier_B, sides(p_B, scheme.tie_margin))


def sides(p_B: Floats, tie_margin: float) -> Floats:
    """Who wins each pair: 1 the first, 0 the second, 0.5 nobody by the margin; NaN unscored."""
    gap = np.abs(p_B - 0.5)
    side = np.where((gap == 0) | (gap < tie_margin), TIE, np.where(p_B > 0.5, FIRST, SECOND))
    return np.where(np.isnan(p_B), np.nan, side)


def scheme_without(scheme: Scheme, principle: int) -> Scheme:
    """The scheme with one principle left out."""
    return replace(
        scheme,
        tier_P=np.delete(scheme.tier_P, principle),
        weight_P=np.delete(scheme.weight_P, principle),
    )
