"""What a constitution asks that the store cannot answer: the price of an edit beforehand."""

from collections.abc import Sequence

import numpy as np

from judges.aggregate import SCOPE_FLOOR
from judges.constitutions.constitution import Constitution
from judges.diagnostics.pair_votes import PairVotes
from judges.records import Record
from judges.reweigh import CHUNK, questions
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
    ballots: Sequence[Ballot], constitution: Constitution, names: Sequence[str], store: VoteStore
) -> list[NeededVotes]:
    """How many votes each of these principles lacks. Cost: no model call."""
    needed = []
    for name in names:
        alone = only(constitution, [name])
        lacking = 0
        for start in range(0, len(ballots), CHUNK):
            asked = {
                question
                for ballot in ballots[start : start + CHUNK]
                if len(ballot.completions) > 1
                for question in questions(ballot, alone)
            }
            lacking += len(asked) - len(store.get(list(asked)))
        rule = alone.principles[0].rule is not None
        needed.append(NeededVotes(principle=name, votes=lacking, checked_by_code=rule))
    return needed
