"""Tokens of the prompts of many votes, counted on a sample of them put into words."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from judges.constitutions.constitution import Constitution
from judges.intervals import Z_95
from judges.judge import Judge
from judges.lacking import Pairs
from judges.matter import Matter
from judges.model import ModelPrompt
from judges.models.openai import OpenAIModel
from judges.records import Question, Record
from judges.reweigh import questions
from judges.store.vote_store import VoteStore
from judges.tally import Ballot
from judges.vote_table import Integers

BYTES_PER_TOKEN = 4
"""Where no tokenizer is at hand."""
SAMPLE = 2_000
"""Prompts put into words; more are extrapolated from these, and said to be."""
KNOWN = 1_000
"""Prompts of stored votes put into words, to know how many of their tokens were fresh."""


@dataclass(frozen=True)
class AskedSample:
    """Questions on some ballots."""

    wanted: Sequence[Sequence[Question]]
    """What is estimated, ballot by ballot."""
    known: Sequence[Question]
    """Some of all that is asked, for what is stored of it."""


def ask_sample(
    ballots: Sequence[Ballot],
    pairs: Sequence[Pairs | None],
    constitution: Constitution,
    only: Container[str] | None,
) -> AskedSample:
    """The questions on ballots, `only` on some texts and scopes, and some of all."""
    principles = constitution.principles
    if only is not None:
        principles = tuple(
            one
            for one in principles
            if any(one.question_digest(kind) in only for kind in one.question_kinds)
        )
    under = constitution.model_copy(update={"principles": principles})
    wanted = [
        [q for q in questions(ballot, under, some) if only is None or q.principle in only]
        for ballot, some in zip(ballots, pairs, strict=True)
    ]
    everything = (
        question
        for ballot, some in zip(ballots, pairs, strict=True)
        for question in questions(ballot, constitution, some)
    )
    return AskedSample(wanted, list(islice(everything, KNOWN)))


def some_rows(votes_R: Integers) -> list[int]:
    """Places of items that lack votes, drawn at random until their votes are a sample."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(votes_R))
    enough = int(np.searchsorted(np.cumsum(votes_R[rows]), SAMPLE)) + 1
    return sorted(rows[:enough].tolist())


class Counted(Record):
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
class Worded:
    """Prompts of some items put into words."""

    new: Counted
    """Of votes that are lacking."""
    known: Counted
    """Of some that are stored."""
    settings: frozenset[str]
    """How the judge is asked."""


def put_into_words(asked: AskedSample, matter: Matter, judge: Judge, store: VoteStore) -> Worded:
    """The prompts of one judge's votes on each item: of what is lacking, and of what is there."""
    mine = {
        setting for setting, (one, _) in matter.settings.items() if one and one.name == judge.name
    }
    wanted = [[q for q in some if q.setting in mine] for some in asked.wanted]
    known = [question for question in asked.known if question.setting in mine]
    stored = store.get(list({*(q for some in wanted for q in some), *known}))
    new = [[matter.prompt(q) for q in some if q not in stored] for some in wanted]
    there = [[matter.prompt(question) for question in known if question in stored]]
    return Worded(_counted(judge, new), _counted(judge, there), frozenset(mine))


def _counted(judge: Judge, prompts: Sequence[Sequence[ModelPrompt]]) -> Counted:
    whole, least, exact = _tokens(judge, [one for some in prompts for one in some])
    votes_I = np.array([len(some) for some in prompts], float)
    size_I = np.array([sum(map(_size, some)) for some in prompts], float)
    within = 0.0
    if len(prompts) > 1 and size_I.any():
        # A ratio of totals over items: Cochran 1977, section 6.3.
        spare = size_I - votes_I * size_I.sum() / votes_I.sum()
        within = Z_95 * float(np.sqrt((spare**2).sum() * len(spare) / (len(spare) - 1)))
        within /= float(size_I.sum())
    return Counted(votes=int(votes_I.sum()), tokens=whole, fresh=least, exact=exact, within=within)


def _size(prompt: ModelPrompt) -> int:
    return sum(len(message.content) for message in prompt.messages)


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
