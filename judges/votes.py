"""Casting votes: put to the judges only the questions the store cannot answer, and commit them."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from judges.aggregate import SCOPE_FLOOR, sigmoid
from judges.asking import Answer, ask
from judges.errors import ModelError
from judges.judge import Judge
from judges.matter import Matter
from judges.model import Failure
from judges.ratings import mean_rating
from judges.records import Question, Setting, Vote
from judges.store.database_errors import DatabaseAway
from judges.store.vote_store import VoteStore

DEAD_AFTER = 64
"""Unanswered questions at once; fewer can be the same few bad prompts, asked again."""
COMMIT_EVERY = 32
"""Questions between two commits, one request of many prompts: with those in flight, the most that
a kill makes us ask again."""

AWAY_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Waits before votes are put again to a database server that was away."""


@dataclass
class Asked:
    """What became of a set of questions."""

    votes: dict[Question, Vote] = field(default_factory=dict)
    """Every vote, new or found."""
    failures: dict[Question, Failure] = field(default_factory=dict)
    """Questions the engine did not answer; not stored, asked again by the next run."""
    new: set[Question] = field(default_factory=set)
    """The votes that had to be cast by a judge now."""

    def __iadd__(self, other: "Asked") -> Self:
        self.votes |= other.votes
        self.failures |= other.failures
        self.new |= other.new
        return self

    def on(self, questions: Iterable[Question]) -> "Asked":
        """What became of these questions only."""
        wanted = dict.fromkeys(questions)  # in order, so that the same failure is named each time
        return Asked(
            {q: self.votes[q] for q in wanted if q in self.votes},
            {q: self.failures[q] for q in wanted if q in self.failures},
            self.new & wanted.keys(),
        )

    def usage(self) -> dict[str, int]:
        """Votes and tokens, as a ranking line states them."""
        new = [self.votes[question] for question in self.new]
        return {
            "votes": len(self.votes),
            "new_votes": len(new),
            "prompt_tokens": sum(vote.prompt_tokens for vote in new),
            "cached_tokens": sum(vote.cached_tokens for vote in new),
        }


InFlight = dict[Question, asyncio.Event]
"""Questions that are out with a judge, each with what happens when its answer is in."""


async def cast_votes(
    questions: Sequence[Question], matter: Matter, store: VoteStore, flying: InFlight | None = None
) -> Asked:
    """The vote on every question: found in the store, checked by code, or cast by its judge.

    What is in `flying` another task has asked: its answer is waited for, not bought twice.
    Cost: one model call of one token for each question that the store cannot answer.
    """
    flying = {} if flying is None else flying
    asked = Asked(votes=dict(store.get(questions)))
    missing = [q for q in dict.fromkeys(questions) if q not in asked.votes]
    theirs = [(question, flying[question]) for question in missing if question in flying]
    done = asyncio.Event()
    mine = [question for question in missing if question not in flying]
    flying |= dict.fromkeys(mine, done)
    try:
        asked += await _cast(mine, matter, store)
    finally:
        for question in mine:
            del flying[question]
        done.set()
    if theirs:
        for _, answered in theirs:
            await answered.wait()
        asked += await cast_votes([question for question, _ in theirs], matter, store, flying)
    return asked


async def _cast(questions: Sequence[Question], matter: Matter, store: VoteStore) -> Asked:
    """Votes that the store lacks."""
    asked = Asked()
    missing: dict[str, list[Question]] = {}
    for question in questions:
        missing.setdefault(question.setting, []).append(question)
    for setting, open_questions in missing.items():
        judge, form = matter.settings[setting]
        if judge is None:
            votes = [matter.rule_vote(question) for question in open_questions]
            await _keep(votes, matter, store)
            asked += Asked(votes={vote.question: vote for vote in votes})
            continue
        parts = [
            open_questions[start : start + COMMIT_EVERY]
            for start in range(0, len(open_questions), COMMIT_EVERY)
        ]
        for part in await asyncio.gather(*(_ask(p, judge, form, matter, store) for p in parts)):
            asked += part
    return asked


async def _ask(
    questions: Sequence[Question], judge: Judge, setting: Setting, matter: Matter, store: VoteStore
) -> Asked:
    answers = await ask(judge, setting, [matter.asking(q) for q in questions])
    provenance = judge.model.capabilities().provenance
    asked = Asked()
    for question, answer in zip(questions, answers, strict=True):
        if isinstance(answer, Failure) and answer.status == "error":
            asked.failures[question] = answer
        else:
            asked.votes[question] = _vote(question, answer, judge, provenance)
    asked.new = set(asked.votes)
    await _keep(list(asked.votes.values()), matter, store)
    return asked


async def _keep(new: Sequence[Vote], matter: Matter, store: VoteStore) -> None:
    """Commit votes, through a database server that is away for a while: they are paid for."""
    for wait in AWAY_S:
        try:
            store.add(new, matter.texts([vote.question for vote in new]))
            return
        except DatabaseAway:
            await asyncio.sleep(wait)
    store.add(new, matter.texts([vote.question for vote in new]))


def _vote(question: Question, answer: Answer | Failure, judge: Judge, provenance: str) -> Vote:
    if isinstance(answer, Failure):
        return Vote(
            question=question, status="unscored", reason=answer.reason, provenance=provenance
        )
    choice = answer.choice
    enough = choice.label_mass >= judge.minimum_label_mass
    return Vote(
        question=question,
        status="scored" if enough else "unscored",
        reason=None if enough else "low_label_mass",
        logprobs=choice.logprobs,
        label_mass=choice.label_mass,
        value=_value(choice.logprobs) if enough else None,
        prompt_tokens=choice.prompt_tokens,
        cached_tokens=choice.cached_tokens,
        provenance=provenance,
        rationale=answer.rationale,
    )


def _value(logprobs: Sequence[float]) -> float:
    """Two options: log-odds of the first. Ratings, and the letters of a group: their mean."""
    if len(logprobs) == 2:
        return logprobs[0] - logprobs[1]
    return mean_rating(logprobs)


def stop_when_dead(told: Asked) -> None:
    """So many questions and not one answer means the engine is gone: stop, and say so.

    Raises: ModelError.
    """
    if len(told.failures) >= DEAD_AFTER and not told.new:
        detail = Counter(failure.detail for failure in told.failures.values()).most_common(1)[0][0]
        raise ModelError(
            f"the judge answered none of {len(told.failures)} questions ({detail}); see to the "
            "engine and run the same command again: all votes so far are kept"
        )


def in_scope(questions: Sequence[Question], scopes: Asked, matter: Matter) -> list[Question]:
    """The pair questions whose principle has no scope, or one that some judge says may apply."""
    inside: dict[tuple[str, str], bool] = {}
    for question, vote in scopes.votes.items():
        place = (question.conversation, question.principle)
        may = vote.value is None or float(sigmoid(vote.value)) >= SCOPE_FLOOR
        inside[place] = inside.get(place, False) or may

    def applies(question: Question) -> bool:
        principle = matter.wordings[question.principle].principle
        if principle.applies_when is None:
            return True
        return inside.get((question.conversation, principle.question_digest("applies")), True)

    return [question for question in questions if applies(question)]
