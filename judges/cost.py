"""What judging will cost, before a call is made.

An estimate counts the questions that the store cannot answer and the tokens of their prompts,
exactly where the judge's tokenizer is at hand; a token that prompts share counts once as fresh.
Seconds come from votes that the store holds already, where it holds some of the same judge.
"""

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select

from judges.budget import Prices
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method
from judges.model import ModelPrompt
from judges.models.openai import OpenAIModel
from judges.pair_rounds import FewPairs
from judges.rank import Pairs, ballot_maker, judged_pairs, most_pairs
from judges.records import Item, Question, Record
from judges.reweigh import questions
from judges.store.schema import votes
from judges.store.vote_store import VoteStore
from judges.votes import Matter

BYTES_PER_TOKEN = 4
"""Where no tokenizer is at hand."""
PAUSE_S = 30
"""Votes further apart than this were not cast in one go."""
SAMPLE = 20_000
"""Prompts put into words at most; more are extrapolated from these, and said to be."""


class JudgeEstimate(Record):
    """What one judge will be asked."""

    judge: str
    """Its name."""
    questions: int
    """All that the ranking needs; scopes are taken to apply, so it is the most."""
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
    seconds: float | None
    """At the speed of this judge's votes in the store; None where it has cast none."""
    price: float | None
    """With the judge's price table; None without one."""


def estimate(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    pairs: Pairs | FewPairs = "all",
    method: Method | None = None,
    prices: dict[str, Prices] | None = None,
    only: Container[str] | None = None,
) -> list[JudgeEstimate]:
    """What ranking the items will cost at most, a judge at a time; `only` for some questions.

    `only` holds digests of texts and scopes: what an edit of a constitution costs. Cost: no model
    call.
    """
    method = method or Method()
    ballot = ballot_maker(judges, constitution, method)
    matter = Matter.of(items, constitution, judges, method.kind)
    asked: dict[Question, None] = {}
    for item in items:
        made = ballot(item)
        if len(made.completions) > 1:
            fixed = judged_pairs(made, pairs) if isinstance(pairs, str) else None
            wanted = questions(made, constitution, fixed)
            asked |= dict.fromkeys(_within_budget(wanted, made.completions, pairs))
    if only is not None:
        asked = {question: None for question in asked if question.principle in only}
    stored = store.get(list(asked))
    return [
        _of_judge(judge, list(asked), stored.keys(), matter, store, (prices or {}).get(judge.name))
        for judge in judges
    ]


def _within_budget(
    wanted: list[Question], completions: Sequence[str], pairs: Pairs | FewPairs
) -> Iterable[Question]:
    """With few pairs, as large a share of the pair questions as the budget allows."""
    if isinstance(pairs, str):
        return wanted
    all_pairs = len(completions) * (len(completions) - 1) // 2
    share = most_pairs(len(completions), pairs) / max(1, all_pairs)
    on_pairs = [question for question in wanted if len(question.completions) == 2]
    kept = set(on_pairs[: round(share * len(on_pairs))])
    return [q for q in wanted if len(q.completions) != 2 or q in kept]


def _of_judge(
    judge: Judge,
    asked: Sequence[Question],
    stored: Iterable[Question],
    matter: Matter,
    store: VoteStore,
    prices: Prices | None,
) -> JudgeEstimate:
    mine = [q for q in asked if matter.settings[q.setting][0] is judge]
    known = set(stored)
    new = [q for q in mine if q not in known]
    some = new[:SAMPLE]
    prompts = [matter.prompt(question) for question in some]
    scale = len(new) / max(1, len(some))
    tokens, fresh, counted = _tokens(judge, prompts)
    budget = judge.reasoning.max_tokens if judge.reasoning else 0
    written = len(new) * (1 + budget)
    speed = _votes_per_second(store, {q.setting for q in mine})
    price = None
    if prices is not None:
        cached = scale * (tokens - fresh)
        price = (prices.prompt * scale * fresh + prices.cached * cached) / 1e6
        price += prices.completion * written / 1e6
    return JudgeEstimate(
        judge=judge.name,
        questions=len(mine),
        stored=len(mine) - len(new),
        prompt_tokens=round(scale * tokens),
        fresh_tokens=round(scale * fresh),
        completion_tokens=written,
        exact=counted and len(some) == len(new),
        seconds=None if speed is None else len(new) / speed,
        price=price,
    )


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
        shared = 0
        for ours, theirs in zip(ids, previous, strict=False):
            if ours != theirs:
                break
            shared += 1
        total += len(ids) - shared
        previous = ids
    return total


def _votes_per_second(store: VoteStore, settings: set[str]) -> float | None:
    """How fast votes under these settings came in, pauses left out; None for fewer than 64."""
    ids = [int(number) for number in store.ids(sorted(settings)) if number]
    with store.engine.begin() as connection:
        found = connection.execute(
            select(votes.c.created_at).where(votes.c.setting_id.in_(ids))
        ).scalars()
        times = np.sort(np.fromiter(found, np.int64))
    if len(times) < 64:
        return None
    gaps = np.diff(times)
    busy = float(gaps[gaps <= PAUSE_S].sum())
    return len(times) / busy if busy > 0 else None
