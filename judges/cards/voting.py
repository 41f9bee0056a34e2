"""From labelled pairs to the logits a card is made of: the panel's, each judge's, each principle's.

All come from the same raw votes, of both orders together and of each order alone; calibrations
that a judge already has are left aside, since the card says what to fit.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from judges.aggregate import Floats, Scheme, aggregate, scheme_of, sigmoid
from judges.ballots import ballot_maker
from judges.cards.labelled import LabelledPair
from judges.constitutions.constitution import Constitution
from judges.judge import Judge, Method
from judges.rank import Progress, rank
from judges.records import Question, Record, Vote
from judges.reweigh import questions
from judges.store.vote_store import VoteStore
from judges.tally import Ballot, Settings, tally_votes

Place = tuple[int, int, int, int]
"""Judge, principle, pair, order."""
MOST_SURE = 1e-15
"""A probability is held this far from 0 and 1, so that its logit is a number."""


class Cost(Record):
    """What the votes on the labelled pairs cost, whenever they were cast."""

    votes: int
    """Votes of judges on pairs, negations and attacks aside."""
    prompt_tokens: int
    """Tokens of their prompts."""
    cached_tokens: int
    """Of these, read from the prefix cache."""


@dataclass(frozen=True)
class View:
    """One way of judging n pairs; a logit above 0 prefers the first completion, NaN: unscored."""

    logit_B: Floats
    """Both orders averaged."""
    order_B2: Floats
    """First completion shown first, and shown second: each order as if it were all."""
    scaled: Callable[[float], Floats] | None = None
    """`logit_B` were each vote of a judge multiplied by a number, abstentions aside."""


@dataclass(frozen=True)
class Judged:
    """Everything the judges said about the pairs."""

    panel: View
    """The verdict of all judges under the whole constitution."""
    judges: dict[str, View]
    """The verdict of each judge alone."""
    principles: dict[str, View]
    """Each principle alone, all judges; a rule has no orders."""
    reasons: list[str | None]
    """Why a pair has no verdict, by pair."""
    cost: Cost
    """Votes and tokens."""
    new_votes: int
    """Votes cast now: 0 when all were in the store."""


def uncalibrated(judges: Sequence[Judge]) -> list[Judge]:
    """The judges as they vote, without what is done to their logits afterwards."""
    return [replace(judge, calibration=None, clamp=None) for judge in judges]


async def judge_pairs(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    method: Method,
    progress: Progress | None = None,
) -> Judged:
    """What the judges say about the pairs, asked in one way; from the store where it knows.

    Only pairs have orders: asked otherwise, what each order alone says is NaN.
    Cost: two votes for each pair, judged principle and judge, less what is stored.
    Raises: ModelError when the judge is gone.
    """
    raw = uncalibrated(judges)
    items = [pair.item for pair in pairs]
    judged = rank(items, constitution, raw, store, method=method, progress=progress)
    lines = [line async for part in judged for line in part]
    whole = ballot_maker(raw, constitution, method)
    ballots = [whole(item) for item in items]
    settings = ballots[0].settings
    orders_JPB2, cost = _orders(ballots, settings, constitution, store)
    panel, principles = _views(ballots, settings, constitution, store, orders_JPB2)
    alone = {}
    for index, judge in enumerate(raw):
        by_one = ballot_maker([judge], constitution, method)
        of_one = [by_one(item) for item in items]
        alone[judge.name] = _views(
            of_one, of_one[0].settings, constitution, store, orders_JPB2[[index]]
        )[0]
    unscored = np.isnan(panel.logit_B)
    return Judged(
        panel=panel,
        judges=alone,
        principles=principles,
        reasons=[
            str(line["reason"] or "missing_vote") if lost else None
            for line, lost in zip(lines, unscored, strict=True)
        ],
        cost=cost,
        new_votes=sum(line["usage"]["new_votes"] for line in lines),
    )


def _orders(
    ballots: Sequence[Ballot], settings: Settings, constitution: Constitution, store: VoteStore
) -> tuple[Floats, Cost]:
    """Each judge's log-odds of the first completion in each order. (J, P, B, 2)"""
    judged = [(k, p) for k, p in enumerate(constitution.principles) if p.rule is None]
    if settings.kind != "pair":
        asked = {q for ballot in ballots for q in questions(ballot, constitution)}
        texts = settings.under(constitution)
        votes = store.get([question for question in asked if question.setting in texts])
        none = np.full((len(settings.pair), len(constitution.principles), len(ballots), 2), np.nan)
        return none, _cost(votes.values())
    shape = (len(settings.pair), len(constitution.principles), len(ballots), 2)
    places: dict[Question, list[Place]] = {}
    for k, principle in judged:
        digest = principle.question_digest("pair")
        for j, setting in enumerate(settings.of(principle)):
            for row, ballot in enumerate(ballots):
                for order, shown in enumerate((ballot.completions, ballot.completions[::-1])):
                    for sample in range(settings.samples):
                        question = Question(
                            setting=setting,
                            principle=digest,
                            conversation=ballot.conversation,
                            completions=shown,
                            sample=sample,
                        )
                        places.setdefault(question, []).append((j, k, row, order))
    votes = store.get(list(places))
    logits = _mean_of_samples(votes, places, shape, settings.samples)
    logits[..., 1] *= -1
    return logits, _cost(votes.values())


def _cost(votes: Collection[Vote]) -> Cost:
    return Cost(
        votes=len(votes),
        prompt_tokens=sum(vote.prompt_tokens for vote in votes),
        cached_tokens=sum(vote.cached_tokens for vote in votes),
    )


def _mean_of_samples(
    votes: Mapping[Question, Vote],
    places: Mapping[Question, Sequence[Place]],
    shape: tuple[int, ...],
    samples: int,
) -> Floats:
    """The votes in their places; of several samples the probabilities are averaged, as in tally."""
    total, count = np.zeros(shape), np.zeros(shape)
    for question, vote in votes.items():
        if vote.value is None:
            continue
        for place in places[question]:
            total[place] += vote.value if samples == 1 else float(sigmoid(vote.value))
            count[place] += 1
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    return mean if samples == 1 else _logit(mean)


def _views(
    ballots: Sequence[Ballot],
    settings: Settings,
    constitution: Constitution,
    store: VoteStore,
    orders_JPB2: Floats,
) -> tuple[View, dict[str, View]]:
    """The verdicts under the whole constitution, and under each principle alone."""
    tally = tally_votes(ballots, settings, constitution, store)
    scheme = scheme_of(constitution)
    both_BP = tally.logit_RPNN[:, :, 0, 1]
    known = ~np.isnan(orders_JPB2)
    total, count = np.where(known, orders_JPB2, 0.0).sum(0), known.sum(0)
    alone_PB2 = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    judged_P = np.array([principle.rule is None for principle in constitution.principles])

    def verdict(logit_BP: Floats, scheme: Scheme = scheme) -> Floats:
        matrix = np.zeros((*logit_BP.shape, 2, 2))
        matrix[..., 0, 1], matrix[..., 1, 0] = logit_BP, -logit_BP
        return _logit(aggregate(matrix, tally.applies_RP, scheme).p_RNN[:, 0, 1])

    def scaled(slope: float) -> Floats:
        return verdict(both_BP * np.where(judged_P, slope, 1.0), replace(scheme, abstain_below=0.0))

    orders = []
    for order in (0, 1):
        one_BP = both_BP.copy()
        for k, principle in enumerate(constitution.principles):
            if principle.rule is None:
                one_BP[:, k] = alone_PB2[k, :, order]
        orders.append(verdict(one_BP))
    return View(verdict(both_BP), np.stack(orders, axis=1), scaled), {
        principle.id: View(both_BP[:, k], alone_PB2[k])
        for k, principle in enumerate(constitution.principles)
    }


def _logit(p: Floats) -> Floats:
    held = np.clip(p, MOST_SURE, 1 - MOST_SURE)
    return np.asarray(np.log(held) - np.log1p(-held))
