"""Scores of single completions, with no opponent: P(yes), mean ratings, statements, rules.

Each is a vote in the same store: a score asked for twice costs nothing, and an edited weight costs
nothing. A principle with statements is scored by them, one with a rule by the rule, any other by
P(yes) that the completion follows it; ratings stand beside, on their own scale.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from judges.aggregate import Floats, sigmoid
from judges.canonical import text_digest
from judges.combination import mean_of_known
from judges.constitutions.constitution import Constitution, Principle
from judges.judge import Judge, Method, arithmetic_texts, rule_setting, settings_of
from judges.matter import Matter
from judges.propositions.reward import as_expected, combined_scores, weighted_mean
from judges.rank import Progress
from judges.records import Item, Question, Reason, Vote
from judges.store.vote_store import VoteStore
from judges.tally import EMPTY, Settings
from judges.votes import Asked, cast_votes, in_scope, stop_when_dead

Ask = Literal["yes-no", "rating"]
ASKS: tuple[Ask, ...] = get_args(Ask)
WINDOW = 32
"""Items asked about at once."""
DECIMALS = 6


async def score(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    *,
    ask: Sequence[Ask] = ASKS,
    progress: Progress | None = None,
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Score lines in the items' order, some at a time.

    Units: scores 0 to 1, ratings 1 to 10; higher is better.
    Cost: for each completion, judge and principle one vote a way of asking, and one a statement.
    Raises: ModelError when a window of many questions gets not one answer.
    """
    store.add([], arithmetic_texts(judges, Method()))
    for start in range(0, len(items), WINDOW):
        window = items[start : start + WINDOW]
        told = await _cast(window, constitution, judges, store, ask)
        stop_when_dead(told)
        yield [score_line(item, constitution, judges, told, ask) for item in window]
        if progress:
            progress(min(start + WINDOW, len(items)), len(items))


async def _cast(
    items: Sequence[Item],
    constitution: Constitution,
    judges: Sequence[Judge],
    store: VoteStore,
    ask: Sequence[Ask],
) -> Asked:
    yes = Matter.of(items, constitution, judges, "yes_no")
    forms = _Forms(judges)
    free = [q for item in items for q in _free_questions(item, constitution, forms)]
    told = await cast_votes(free, yes, store)
    jobs = [(yes, [q for i in items for q in _yes_questions(i, constitution, forms, ask)])]
    if "rating" in ask:
        rated = Matter.of(items, constitution, judges, "point")
        jobs.append((rated, [q for i in items for q in _ratings(i, constitution, forms)]))
    for part in await asyncio.gather(
        *(cast_votes(in_scope(asked, told, matter), matter, store) for matter, asked in jobs)
    ):
        told += part
    return told


class _Forms:
    """The settings under which a panel's scores are stored."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.yes: Settings = settings_of(judges, Method(kind="yes_no"))
        self.rating: Settings = settings_of(judges, Method(kind="point"))
        self.adjustments = [judge.adjustment for judge in judges]


def _texts(item: Item) -> list[str]:
    return [text_digest(c.text) if c.text.strip() else EMPTY for c in item.completions]


def _question(item: Item, setting: str, principle: str, *shown: str, sample: int = 0) -> Question:
    return Question(
        setting=setting,
        principle=principle,
        conversation=text_digest(item.conversation_text),
        completions=shown,
        sample=sample,
    )


def _free_questions(item: Item, constitution: Constitution, forms: _Forms) -> Iterable[Question]:
    """Scopes and rules: what is known before any completion is put to a judge."""
    for principle in constitution.principles:
        if principle.applies_when is not None:
            for setting in forms.yes.applies:
                yield _question(item, setting, principle.question_digest("applies"))
        if principle.rule is not None:
            for text in _filled(item):
                yield _rule_question(item, principle, text)


def _rule_question(item: Item, principle: Principle, text: str) -> Question:
    return _question(
        item, rule_setting(item.answer).digest, principle.question_digest("rule"), text
    )


def _filled(item: Item) -> list[str]:
    return [text for text in dict.fromkeys(_texts(item)) if text != EMPTY]


def _yes_questions(
    item: Item, constitution: Constitution, forms: _Forms, ask: Sequence[Ask]
) -> Iterable[Question]:
    for principle in constitution.principles:
        digests = [one.question_digest for one in principle.propositions]
        if principle.rule is None and not digests and "yes-no" in ask:
            digests = [principle.question_digest("yes_no")]
        for text in _filled(item):
            for digest in digests:
                yield from _samples(item, forms.yes, digest, text)


def _ratings(item: Item, constitution: Constitution, forms: _Forms) -> Iterable[Question]:
    for principle in constitution.principles:
        if principle.rule is None:
            for text in _filled(item):
                yield from _samples(item, forms.rating, principle.question_digest("point"), text)


def _samples(item: Item, form: Settings, digest: str, text: str) -> Iterable[Question]:
    for setting in form.pair:
        for sample in range(form.samples):
            yield _question(item, setting, digest, text, sample=sample)


def score_line(
    item: Item,
    constitution: Constitution,
    judges: Sequence[Judge],
    told: Asked,
    ask: Sequence[Ask] = ASKS,
) -> dict[str, Any]:
    """One item's scores from its votes: pure, so that an edited weight needs no model.

    A hard principle in scope without a vote makes a completion unscored, as does too little
    weight. Units: `scores` and `p` 0 to 1, `ratings` 1 to 10.
    """
    forms = _Forms(judges)
    parts = {p.id: _of_principle(item, p, forms, told.votes, ask) for p in constitution.principles}
    applies = np.array([part["applies"] for part in parts.values()], float)
    scores_NP = np.stack([part["score"] for part in parts.values()], 1)
    rating_NP = np.stack([part["rating"] for part in parts.values()], 1)
    applies_NP = np.broadcast_to(applies, scores_NP.shape)
    least = constitution.aggregate.min_weight
    combined_N = combined_scores(scores_NP, constitution.principles, least, applies_NP)
    judged = [k for k, p in enumerate(constitution.principles) if p.rule is None]
    weight_NP = applies_NP * np.array([p.weight for p in constitution.principles])
    rating_N = weighted_mean(rating_NP[:, judged], weight_NP[:, judged], least)
    reasons = [_reason(item, n, combined_N[n], told) for n in range(len(item.completions))]
    failures = [f for q, f in told.failures.items() if q.conversation == _conversation(item)]
    status = "scored" if None in reasons else "unscored"
    line: dict[str, Any] = {
        "id": item.id,
        "status": status,
        "reason": None if status == "scored" else reasons[0],
        "digests": {
            "constitution": constitution.digest,
            "judge": "+".join(forms.yes.pair),
            "calibration": "+".join(a.digest if a else "" for a in forms.adjustments) or None,
        },
        "prompt": [message.model_dump() for message in item.prompt],
        "completions": [completion.text for completion in item.completions],
        "metadata": item.metadata,
        "scores": _plain(combined_N),
        "ratings": _plain(rating_N) if "rating" in ask else None,
        "reasons": reasons,
        "principles": {
            name: {key: _plain(value) for key, value in part.items()}
            for name, part in parts.items()
        },
        "usage": told.on(_asked_about(item, told)).usage(),
    }
    if failures:
        line |= {"status": "error", "reason": failures[0].reason, "detail": failures[0].detail}
    return line


def _conversation(item: Item) -> str:
    return text_digest(item.conversation_text)


def _asked_about(item: Item, told: Asked) -> list[Question]:
    conversation = _conversation(item)
    return [q for q in told.votes if q.conversation == conversation]


def _of_principle(
    item: Item,
    principle: Principle,
    forms: _Forms,
    votes: Mapping[Question, Vote],
    ask: Sequence[Ask],
) -> dict[str, Any]:
    """One principle's numbers: `p`, `rating`, `score` over completions, statements, `applies`."""
    n = len(item.completions)
    nothing = np.full(n, np.nan)
    applies = 1.0
    if principle.applies_when is not None:
        digest = principle.question_digest("applies")
        asked = [_question(item, setting, digest) for setting in forms.yes.applies]
        logit = mean_of_known(np.array([[_value(votes, q)] for q in asked]))
        applies = float(sigmoid(logit)[0])
    part: dict[str, Any] = {"applies": applies, "p": nothing, "rating": nothing}
    if principle.rule is not None:
        met = [_value(votes, _rule_question(item, principle, text)) for text in _texts(item)]
        return part | {"score": np.array(met)}
    if "rating" in ask:
        part["rating"] = _read(item, forms.rating, principle.question_digest("point"), votes)
    if principle.propositions:
        phi_NF = np.stack(
            [_yes(item, forms, one.question_digest, votes) for one in principle.propositions], 1
        )
        part["statements"] = {one.id: phi_NF[:, f] for f, one in enumerate(principle.propositions)}
        expected = as_expected(phi_NF, principle.propositions)
        part["score"] = weighted_mean(expected, [one.weight for one in principle.propositions])
        return part
    if "yes-no" in ask:
        part["p"] = _yes(item, forms, principle.question_digest("yes_no"), votes)
        return part | {"score": part["p"]}
    return part | {"score": (part["rating"] - 1) / 9}


def _yes(item: Item, forms: _Forms, digest: str, votes: Mapping[Question, Vote]) -> Floats:
    """P(yes) for each completion: the mean logit over judges, each adjusted."""
    return sigmoid(_read(item, forms.yes, digest, votes, forms))


def _read(
    item: Item,
    form: Settings,
    digest: str,
    votes: Mapping[Question, Vote],
    adjusted: _Forms | None = None,
) -> Floats:
    """The mean over judges of what they said of each completion; NaN where none did. (N,)"""
    rows = []
    for number, setting in enumerate(form.pair):
        value_SN = np.array(
            [
                [_value(votes, _question(item, setting, digest, text, sample=sample))
                 for text in _texts(item)]
                for sample in range(form.samples)
            ]
        )  # fmt: skip
        if adjusted is None:
            rows.append(mean_of_known(value_SN))
            continue
        p = mean_of_known(sigmoid(value_SN)) if form.samples > 1 else None
        logit = value_SN[0] if p is None else np.log(p) - np.log1p(-p)
        change = adjusted.adjustments[number]
        rows.append(logit if change is None else change.apply(logit))
    return mean_of_known(np.stack(rows))


def _value(votes: Mapping[Question, Vote], question: Question) -> float:
    vote = votes.get(question)
    return float("nan") if vote is None or vote.value is None else vote.value


def _reason(item: Item, n: int, score: float, told: Asked) -> Reason | None:
    """Why a completion has no score; None where it has one."""
    if score == score:
        return None
    text = _texts(item)[n]
    if text == EMPTY:
        return "empty_completion"
    conversation = _conversation(item)
    reasons = (
        vote.reason
        for question, vote in told.votes.items()
        if question.conversation == conversation and text in question.completions and vote.reason
    )
    return next(reasons, "missing_vote")


def _plain(values: Any) -> Any:
    """Numbers for JSON: rounded, None for what is missing."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, float):
        return None if values != values else round(values, DECIMALS)
    return [None if x != x else x for x in np.round(values, DECIMALS).tolist()]
