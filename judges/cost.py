"""What judging will cost, before a call is made.

An estimate counts all votes that the store lacks, and the tokens of their prompts, or of a sample
where there are many; a token that prompts share counts once as fresh. Seconds come from the speed
of votes that the store holds already, or from a speed given.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np

from judges.ballots import Pairs as PairRule
from judges.ballots import ballot_maker, judged_pairs, most_pairs
from judges.budget import Prices
from judges.constitutions.constitution import Constitution
from judges.intervals import Z_95
from judges.judge import Judge, Method
from judges.lacking import Pairs, lacking_once, lacking_votes
from judges.matter import Matter
from judges.model import ModelPrompt
from judges.models.openai import OpenAIModel
from judges.pair_rounds import FewPairs
from judges.records import Item, Question, Record
from judges.reweigh import questions
from judges.speed import Speed, measure_speed
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Ballot
from judges.vote_table import Integers

BYTES_PER_TOKEN = 4
"""Where no tokenizer is at hand."""
SAMPLE = 5_000
"""Prompts put into words; more are extrapolated from these, and said to be."""


class JudgeEstimate(Record):
    """What one judge will be asked."""

    judge: str
    """Its name."""
    questions: int
    """All that the ranking needs; a scope that is not voted on is taken to apply."""
    stored: int
    """Of these, answered in the store already."""
    prompt_tokens: int
    """Of the others' prompts."""
    fresh_tokens: int
    """Of these, what no earlier prompt begins with: the least that can be computed."""
    completion_tokens: int
    """One a vote, and the reasoning's budget, where there is one."""
    exact: bool
    """Tokens are counted, not taken as four bytes each or extrapolated."""
    worded: int
    """Prompts that were put into words to count them; the others are extrapolated."""
    tokens_within: float
    """How far off the extrapolation may be, at 95 %, as a share; 0 where nothing was."""
    seconds: float | None
    """At the judge's speed so far, or the speed given; None where neither is known."""
    seconds_low: float | None = None
    """At the quicker end of its speed so far."""
    seconds_high: float | None = None
    """At the slower end."""
    speed: str | None = None
    """What the seconds rest on, in words."""
    price: float | None
    """With the judge's price table; None without one."""


def estimate(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: PairRule | FewPairs = "all",
    method: Method | None = None,
    prices: dict[str, Prices] | None = None,
    only: Container[str] | None = None,
    rate: Speed | None = None,
) -> list[JudgeEstimate]:
    """What ranking the items will cost at most, a judge at a time; `only` for some questions.

    `only` holds digests of texts and scopes: what an edit of a constitution costs. Cost: no model
    call; one pass over the stored votes on these items.
    """
    method = method or Method()
    make = ballot_maker(judges, constitution, method)
    ballots = [make(item) for item in items]
    chosen = [_pairs_of(ballot, pairs) for ballot in ballots]
    lacking = lacking_votes(ballots, chosen, constitution, store, only=only)
    once = lacking_once(lacking, ballots, chosen, store)[lacking.judged_T].sum(0)
    rows = some_rows(lacking.votes_RTJ[:, lacking.judged_T].sum((1, 2)))
    asked = [questions(ballots[row], constitution, chosen[row]) for row in rows]
    counts = list(zip(once.tolist(), lacking.stored_J.tolist(), strict=True))
    matter = Matter.of([items[row] for row in rows], constitution, judges, method.kind)
    return estimates_of(judges, counts, asked, matter, store, only=only, rate=rate, prices=prices)


def estimates_of(
    judges: Sequence[Judge],
    counts: Sequence[tuple[int, int]],
    asked: Sequence[Sequence[Question]],
    matter: Matter,
    store: VoteStore,
    *,
    only: Container[str] | None = None,
    rate: Speed | None = None,
    prices: dict[str, Prices] | None = None,
) -> list[JudgeEstimate]:
    """Each judge's estimate, from the votes that it lacks and has and some items' questions."""
    told = []
    for judge, numbers in zip(judges, counts, strict=True):
        words = _in_words(asked, matter, judge, store, only)
        price = (prices or {}).get(judge.name)
        told.append(_told(judge, numbers, words, rate or _speed(words, store), price))
    return told


def _pairs_of(ballot: Ballot, pairs: PairRule | FewPairs) -> Pairs | None:
    """The pairs to judge; of few pairs that the answers choose, as many of the first."""
    if pairs == "all":
        return None
    if isinstance(pairs, str):
        return tuple(judged_pairs(ballot, pairs))
    place = {text: index for index, text in enumerate(ballot.completions) if text != EMPTY}
    players = sorted(place.values())
    return tuple(islice(combinations(players, 2), most_pairs(len(players), pairs)))


def some_rows(votes_R: Integers) -> list[int]:
    """Places of items that lack votes, drawn at random until their votes are a sample."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(votes_R))
    enough = int(np.searchsorted(np.cumsum(votes_R[rows]), SAMPLE)) + 1
    return sorted(rows[:enough].tolist())


class _Counted(Record):
    """Tokens of prompts, item by item."""

    votes: int
    tokens: int
    fresh: int
    exact: bool
    within: float
    """Half of the 95 % interval of tokens a vote, as a share of it."""

    @property
    def fresh_each(self) -> float:
        """Fresh tokens a vote."""
        return self.fresh / max(1, self.votes)


@dataclass(frozen=True)
class _Words:
    """Prompts of some items put into words."""

    new: _Counted
    """Of votes that are lacking."""
    known: _Counted
    """Of some that are stored."""
    settings: frozenset[str]
    """How the judge is asked."""


def _in_words(
    asked: Sequence[Sequence[Question]],
    matter: Matter,
    judge: Judge,
    store: VoteStore,
    only: Container[str] | None,
) -> _Words:
    """The prompts of one judge's votes on each item: of what is lacking, and of what is there."""
    mine = [
        [q for q in some if matter.settings.get(q.setting, (None,))[0] is judge] for some in asked
    ]
    everything = {question for some in mine for question in some}
    stored = store.get(list(everything))
    new, known, left = [], [], SAMPLE
    for some in mine:
        lacking = [q for q in some if q not in stored and (only is None or q.principle in only)]
        new.append([matter.prompt(question) for question in lacking])
        there = [matter.prompt(question) for question in some if question in stored and left > 0]
        left -= len(there)
        known.append(there)
    settings = frozenset(question.setting for question in everything)
    return _Words(_counted(judge, new), _counted(judge, known), settings)


def _counted(judge: Judge, prompts: Sequence[Sequence[ModelPrompt]]) -> _Counted:
    whole, least, exact = _tokens(judge, [one for some in prompts for one in some])
    votes_I = np.array([len(some) for some in prompts], float)
    size_I = np.array([sum(map(_size, some)) for some in prompts], float)
    within = 0.0
    if len(prompts) > 1 and size_I.any():
        # A ratio of totals over items: Cochran 1977, section 6.3.
        spare = size_I - votes_I * size_I.sum() / votes_I.sum()
        within = Z_95 * float(np.sqrt((spare**2).sum() * len(spare) / (len(spare) - 1)))
        within /= float(size_I.sum())
    return _Counted(votes=int(votes_I.sum()), tokens=whole, fresh=least, exact=exact, within=within)


def _size(prompt: ModelPrompt) -> int:
    return sum(len(message.content) for message in prompt.messages)


def _told(
    judge: Judge,
    counts: tuple[int, int],
    words: _Words,
    speed: Speed | None,
    prices: Prices | None,
) -> JudgeEstimate:
    (new, stored), of_new = counts, words.new
    scale = new / max(1, of_new.votes)
    fresh, whole = scale * of_new.fresh, scale * of_new.tokens
    written = new * (1 + (judge.reasoning.max_tokens if judge.reasoning else 0))
    price = None
    if prices is not None:
        price = (prices.prompt * fresh + prices.cached * (whole - fresh)) / 1e6
        price += prices.completion * written / 1e6
    return JudgeEstimate(
        judge=judge.name,
        questions=new + stored,
        stored=stored,
        prompt_tokens=round(whole),
        fresh_tokens=round(fresh),
        completion_tokens=written,
        exact=of_new.exact and of_new.votes == new,
        worded=of_new.votes,
        tokens_within=0.0 if of_new.votes >= new else round(of_new.within, 4),
        price=price,
        **_seconds(speed, new, fresh),
    )


def _speed(words: _Words, store: VoteStore) -> Speed | None:
    """The judge's speed so far: in fresh tokens, as a lone principle shares less than a dozen."""
    speed = measure_speed(store, words.settings)
    return speed.in_tokens(words.known.fresh_each) if speed and words.known.votes else speed


def _seconds(speed: Speed | None, votes: int, fresh: float) -> dict[str, Any]:
    if speed is None:
        return {"seconds": None}
    amount = fresh if speed.unit == "tokens" else votes
    return {
        "seconds": amount / speed.value,
        "seconds_low": amount / speed.high,
        "seconds_high": amount / speed.low,
        "speed": speed.told,
    }


def _tokens(judge: Judge, prompts: Sequence[ModelPrompt]) -> tuple[int, int, bool]:
    """Tokens of the prompts, those that must be computed, and whether they were counted."""
    if isinstance(judge.model, OpenAIModel) and judge.model.encoder is not None:
        ids = [judge.model.render(prompt) for prompt in prompts]
        return sum(map(len, ids)), least_tokens(ids), True
    texts = ["".join(m.content for m in prompt.messages).encode() for prompt in prompts]
    whole, least = sum(map(len, texts)), least_tokens(texts)
    return whole // BYTES_PER_TOKEN, least // BYTES_PER_TOKEN, False


def least_tokens(sequences: Sequence[list[int]] | Sequence[bytes]) -> int:
    """Tokens that must be computed if every common prefix is computed once: the trie's size."""
    total = 0
    previous: Sequence[int] = ()
    ordered: list[Any] = sorted(sequences)
    for ids in ordered:
        total += len(ids) - _shared(ids, previous)
        previous = ids
    return total


def _shared(ids: Any, others: Any) -> int:
    """How many tokens two sequences begin with together, by halving: most share thousands."""
    low, high = 0, min(len(ids), len(others))
    while low < high:
        middle = (low + high + 1) // 2
        if ids[low:middle] == others[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
