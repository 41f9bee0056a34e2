"""Judging few pairs of each item: a connected start, then rounds on what is still open.

What to ask next hangs on the answers so far, aggregated over principles as the constitution says.
Completions are numbered by their text's digest, and the seed is the texts': the same texts are
asked the same, under another id or in another order, and again after a kill, so that the store
answers for free what it holds. Equal texts are one player.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from judges.active_pairs import Bools, Goal, Pair, Stop, budget_of, next_pairs, opening_pairs
from judges.bradley_terry import Floats
from judges.canonical import digest
from judges.constitutions.constitution import Constitution
from judges.matter import Matter
from judges.records import Question, Record
from judges.reweigh import questions, rankings
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot
from judges.votes import Asked, InFlight, cast_votes, in_scope


class FewPairs(Record):
    """Which few pairs of each item are judged."""

    pairs: Literal["active", "random"] = "active"
    """After a random ring: what is most telling, in rounds; or random pairs, at once."""
    budget: Annotated[int, Field(ge=1)] | None = None
    """Pairs of an item, at least so many as connect it; half again as many as completions if not
    given."""
    goal: Goal = "order"
    """`active` stops before the budget is spent when the whole order is settled, or the best is."""


@dataclass
class Contest:
    """How far the judging of one item has come."""

    ballot: Ballot
    """What is judged."""
    players: list[int]
    """One completion for each text that is not empty, by digest."""
    budget: int
    """The most pairs to ask."""
    asked_NN: Bools
    """Which pairs of players have been asked."""
    questions: list[Question]
    """All questions so far."""
    rounds: int = 1
    """Rounds so far."""

    def mark(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Pairs of players become asked; they come back as pairs of completions."""
        for i, j in pairs:
            self.asked_NN[i, j] = self.asked_NN[j, i] = True
        return [(self.players[i], self.players[j]) for i, j in pairs]

    @property
    def spent(self) -> bool:
        """Whether the budget has been used up."""
        return int(self.asked_NN.sum()) // 2 >= self.budget


def open_contest(ballot: Ballot, plan: FewPairs, constitution: Constitution) -> Contest:
    """A ballot with the questions of its first round.

    Cost: none yet; two votes a pair, judge and principle when they are asked.
    """
    place = {text: index for index, text in enumerate(ballot.completions) if text != EMPTY}
    texts = sorted(place)
    size = len(texts)
    budget = budget_of(size, plan.budget)
    seed = int(digest([ballot.conversation, texts])[:16], 16)
    contest = Contest(
        ballot, [place[text] for text in texts], budget, np.zeros((size, size), bool), []
    )
    pairs = contest.mark(opening_pairs(size, budget, seed, plan.pairs))
    if len(ballot.completions) > 1:
        contest.questions = questions(ballot, constitution, pairs)
    return contest


async def ask_on(
    contests: Sequence[Contest],
    told: Asked,
    plan: FewPairs,
    constitution: Constitution,
    matter: Matter,
    store: VoteStore,
    flying: InFlight | None = None,
) -> Asked:
    """What became of all questions, once every contest is settled or its budget spent.

    A contest with a question that the engine did not answer rests until the next run: what to ask
    next would hang on the failure.
    """
    scopes = Asked({q: vote for q, vote in told.votes.items() if not q.completions})
    everything = Asked()
    everything += told
    live = list(contests)
    while True:
        live = [c for c in live if not c.spent and not told.on(c.questions).failures]
        new = {id(c): pairs for c, pairs in _chosen(live, plan, constitution, store) if pairs}
        live = [contest for contest in live if id(contest) in new]
        if not live:
            return everything
        wanted: list[Question] = []
        for contest in live:
            more = questions(contest.ballot, constitution, contest.mark(new[id(contest)]))
            known = set(contest.questions)
            wanted += (added := [question for question in more if question not in known])
            contest.questions += added
            contest.rounds += 1
        told = await cast_votes(in_scope(wanted, scopes, matter), matter, store, flying)
        everything += told


def _chosen(
    contests: Sequence[Contest], plan: FewPairs, constitution: Constitution, store: VoteStore
) -> list[tuple[Contest, list[Pair]]]:
    """What to ask next in each contest; nothing where it is settled."""
    stop = Stop(plan.goal, tie_margin=constitution.aggregate.tie_margin)
    p: dict[int, Floats] = {}
    alike: dict[tuple[int, int], list[Contest]] = defaultdict(list)
    lines = rankings([contest.ballot for contest in contests], constitution, store)
    for contest, line in zip(contests, lines, strict=True):
        p[id(contest)] = np.asarray(line["p"], float)[np.ix_(contest.players, contest.players)]
        alike[len(contest.players), contest.budget].append(contest)
    chosen: list[tuple[Contest, list[Pair]]] = []
    for (_, budget), group in alike.items():
        p_RNN = np.stack([p[id(contest)] for contest in group])
        asked_RNN = np.stack([contest.asked_NN for contest in group])
        chosen += zip(group, next_pairs(p_RNN, asked_RNN, budget, stop), strict=True)
    return chosen
