"""Casting votes: put to the judges only the questions the store cannot answer, and commit them."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from judges.aggregate import SCOPE_FLOOR, sigmoid
from judges.asking import Answer, Asking, ask
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.rules import check_rule
from judges.errors import ModelError
from judges.judge import Judge, rule_setting
from judges.layout import Case, vote_prompt
from judges.model import Failure, ModelPrompt
from judges.ratings import mean_rating
from judges.records import Item, Kind, Question, Setting, Vote
from judges.store.vote_store import VoteStore

DEAD_AFTER = 64
"""Unanswered questions at once; fewer can be the same few bad prompts, asked again."""
FOLLOWS = "It follows this principle: {}"
"""A principle as a statement about one completion."""
COMMIT_EVERY = 32
"""Questions between two commits, one request of many prompts: with those in flight, the most that
a kill makes us ask again."""


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


@dataclass(frozen=True)
class Wording:
    """What one digest of a question stands for."""

    principle: Principle
    """Whose question it is."""
    canonical: str
    """The text whose digest it is, for the store."""
    words: str
    """What the judge reads; empty for a rule."""


@dataclass(frozen=True)
class Matter:
    """The texts behind the digests: what is needed to put a question into words."""

    items: Mapping[str, Item]
    """By digest of the conversation."""
    completions: Mapping[str, str]
    """By digest of the text."""
    wordings: Mapping[str, Wording]
    """By digest of each question."""
    settings: Mapping[str, tuple[Judge | None, Setting]]
    """By digest: who votes under a setting; nobody where code checks."""

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        constitution: Constitution,
        judges: Sequence[Judge],
        kind: Kind = "pair",
    ) -> "Matter":
        """The matter of some items under a constitution and judges, asked in one way."""
        settings: dict[str, tuple[Judge | None, Setting]] = {}
        for rules in map(rule_setting, {None, *(item.answer for item in items)}):
            settings[rules.digest] = (None, rules)
        sizes = {group_size(item) for item in items} if kind == "list" else {0}
        for judge in judges:
            asked = [judge.setting(kind, size) for size in sizes]
            for setting in (*asked, judge.setting("applies")):
                settings[setting.digest] = (judge, setting)
        return cls(
            items={text_digest(item.conversation_text): item for item in items},
            completions={text_digest(c.text): c.text for item in items for c in item.completions},
            wordings={
                text_digest(wording.canonical): wording
                for principle in constitution.principles
                for wording in _wordings(principle, kind)
            },
            settings=settings,
        )

    def asking(self, question: Question) -> Asking:
        """The question as it is put to a judge."""
        _, setting = self.settings[question.setting]
        wording = self.wordings[question.principle]
        case = Case(
            kind=setting.kind,
            conversation=self.items[question.conversation].prompt,
            completions=tuple(self.completions[digest] for digest in question.completions),
            words=wording.words,
        )
        return Asking(case, wording.principle.id, question.sample)

    def prompt(self, question: Question) -> ModelPrompt:
        """The question in words, as a plain judge reads it."""
        return vote_prompt(self.asking(question).case)

    def rule_vote(self, question: Question) -> Vote:
        """The vote of a rule, by code."""
        rule = self.wordings[question.principle].principle.rule
        assert rule is not None  # rule settings only ever ask about rules
        item = self.items[question.conversation]
        text = self.completions[question.completions[0]]
        value = check_rule(rule, item.prompt, text, item.answer)
        return Vote(
            question=question,
            status="unscored" if value is None else "scored",
            reason="cannot_check" if value is None else None,
            value=value,
            provenance="rule",
        )

    def texts(self, questions: Iterable[Question]) -> set[str]:
        """The texts that the questions' digests stand for, for the store to intern."""
        found: set[str] = set()
        for question in questions:
            found.add(self.settings[question.setting][1].text)
            found.add(self.wordings[question.principle].canonical)
            found.add(self.items[question.conversation].conversation_text)
            found.update(self.completions[digest] for digest in question.completions)
        return found


def group_size(item: Item) -> int:
    """How many different completions a group has to choose from; empty ones are not shown."""
    return len({completion.text for completion in item.completions if completion.text.strip()})


def _wordings(principle: Principle, kind: Kind) -> Iterable[Wording]:
    if principle.rule is not None:
        yield Wording(principle, principle.question_text("rule"), "")
    else:
        told = principle.text or ""
        words = FOLLOWS.format(told) if kind == "yes_no" else told
        yield Wording(principle, principle.question_text(kind), words)
    if principle.applies_when is not None:
        yield Wording(principle, principle.question_text("applies"), principle.applies_when)
    if kind == "yes_no":
        for one in principle.propositions:
            yield Wording(principle, one.question_text, one.text)


async def cast_votes(questions: Sequence[Question], matter: Matter, store: VoteStore) -> Asked:
    """The vote on every question: found in the store, checked by code, or cast by its judge.

    Cost: one model call of one token for each question that the store cannot answer.
    """
    asked = Asked(votes=dict(store.get(questions)))
    missing: dict[str, list[Question]] = {}
    for question in dict.fromkeys(questions):
        if question not in asked.votes:
            missing.setdefault(question.setting, []).append(question)
    for setting, open_questions in missing.items():
        judge, form = matter.settings[setting]
        if judge is None:
            votes = [matter.rule_vote(question) for question in open_questions]
            store.add(votes, matter.texts(open_questions))
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
    store.add(list(asked.votes.values()), matter.texts(asked.votes))
    return asked


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
