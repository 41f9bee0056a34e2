"""What a constitution asks that the store cannot answer: the price of an edit beforehand."""

from collections.abc import Mapping, Sequence

import numpy as np

from judges.aggregate import SCOPE_FLOOR
from judges.constitutions.constitution import Constitution
from judges.diagnostics.pair_votes import PairVotes
from judges.lacking import lacking_once, lacking_votes
from judges.records import Record
from judges.store.vote_store import VoteStore
from judges.tally import Ballot


class NeededVotes(Record):
    """A principle whose votes are lacking on every pair."""

    principle: str
    """Its id."""
    votes: int
    """Votes to cast at most, all pairs judged and its scope taken to apply."""
    checked_by_code: bool
    """A rule: `charter rank` casts its votes without a model."""


def silent_principles(votes: PairVotes) -> list[str]:
    """Principles without one usable vote in the run: new, reworded, or never asked about."""
    known = ~np.isnan(votes.logit_BP) & ~np.isnan(votes.applies_BP)
    out_of_scope = votes.applies_BP < SCOPE_FLOOR
    spoke = (known | out_of_scope).any(0)
    return [name for name, one in zip(votes.names, spoke.tolist(), strict=True) if not one]


def only(constitution: Constitution, names: Sequence[str]) -> Constitution:
    """The constitution with these of its principles."""
    kept = tuple(principle for principle in constitution.principles if principle.id in names)
    return constitution.model_copy(update={"principles": kept})


def needed_votes(
    ballots: Sequence[Ballot],
    constitution: Constitution,
    names: Sequence[str],
    store: VoteStore,
    known: Mapping[str, int] | None = None,
) -> list[NeededVotes]:
    """How many votes each of these principles lacks, counted where it is not known yet.

    Cost: no model call.
    """
    needed = []
    for name in names:
        alone = only(constitution, [name])
        lacking = (known or {}).get(name)
        if lacking is None:
            pairs = [None] * len(ballots)
            found = lacking_votes(ballots, pairs, alone, store)
            lacking = int(lacking_once(found, ballots, pairs, store).sum())
        rule = alone.principles[0].rule is not None
        needed.append(NeededVotes(principle=name, votes=lacking, checked_by_code=rule))
    return needed
