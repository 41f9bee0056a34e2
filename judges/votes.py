"""Casting votes: put to the judges only the questions the store cannot answer, and commit them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from judges.aggregate import SCOPE_FLOOR, sigmoid
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.rules import check_rule
from judges.judge import RULE_SETTING, Judge
from judges.layout import applies_prompt, pair_prompt
from judges.model import Choice, Failure, ModelPrompt
from judges.records import Item, Question, Setting, Vote
from judges.store.vote_store import VoteStore

COMMIT_EVERY = 256
"""Questions put to a judge between two commits: the most that a kill makes us ask again."""


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
class Matter:
    """The texts behind the digests: what is needed to put a question into words."""

    items: Mapping[str, Item]
    """By digest of the conversation."""
    completions: Mapping[str, str]
    """By digest of the text."""
    principles: Mapping[str, Principle]
    """By digest of each question they put."""
    settings: Mapping[str, tuple[Judge | None, Setting]]
    """By digest: who votes under a setting; nobody where code checks."""

    @classmethod
    def of(
        cls, items: Sequence[Item], constitution: Constitution, judges: Sequence[Judge]
    ) -> "Matter":
        """The matter of some items under a constitution and judges."""
        settings: dict[str, tuple[Judge | None, Setting]] = {
            RULE_SETTING.digest: (None, RULE_SETTING)
        }
        for judge in judges:
            for setting in (judge.setting("pair"), judge.setting("applies")):
                settings[setting.digest] = (judge, setting)
        return cls(
            items={text_digest(item.conversation_text): item for item in items},
            completions={text_digest(c.text): c.text for item in items for c in item.completions},
            principles={
                principle.question_digest(kind): principle
                for principle in constitution.principles
                for kind in principle.question_kinds
            },
            settings=settings,
        )

    def prompt(self, question: Question) -> ModelPrompt:
        """The question in words, for a judge."""
        _, setting = self.settings[question.setting]
        principle = self.principles[question.principle]
        conversation = self.items[question.conversation].prompt
        if setting.kind == "applies":
            return applies_prompt(conversation, principle.applies_when or "")
        first, second = (self.completions[digest] for digest in question.completions)
        return pair_prompt(conversation, first, second, principle.text or "")

    def rule_vote(self, question: Question) -> Vote:
        """The vote of a rule, by code."""
        rule = self.principles[question.principle].rule
        assert rule is not None  # rule settings only ever ask about rules
        text = self.completions[question.completions[0]]
        value = check_rule(rule, self.items[question.conversation].prompt, text)
        return Vote(question=question, status="scored", value=value, provenance="rule")

    def texts(self, questions: Iterable[Question]) -> set[str]:
        """The texts that the questions' digests stand for, for the store to intern."""
        found: set[str] = set()
        for question in questions:
            setting = self.settings[question.setting][1]
            found.add(setting.text)
            kind = setting.kind
            assert kind in ("pair", "applies", "rule")
            found.add(self.principles[question.principle].question_text(kind))
            found.add(self.items[question.conversation].conversation_text)
            found.update(self.completions[digest] for digest in question.completions)
        return found


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
    answers = await judge.model.choose([matter.prompt(q) for q in questions], setting.options)
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


def _vote(question: Question, answer: Choice | Failure, judge: Judge, provenance: str) -> Vote:
    if isinstance(answer, Failure):
        return Vote(
            question=question, status="unscored", reason=answer.reason, provenance=provenance
        )
    enough = answer.label_mass >= judge.minimum_label_mass
    return Vote(
        question=question,
        status="scored" if enough else "unscored",
        reason=None if enough else "low_label_mass",
        logprobs=answer.logprobs,
        label_mass=answer.label_mass,
        value=answer.logprobs[0] - answer.logprobs[1] if enough else None,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        provenance=provenance,
    )


def in_scope(questions: Sequence[Question], scopes: Asked, matter: Matter) -> list[Question]:
    """The pair questions whose principle has no scope, or one that some judge says may apply."""
    inside: dict[tuple[str, str], bool] = {}
    for question, vote in scopes.votes.items():
        place = (question.conversation, question.principle)
        may = vote.value is None or float(sigmoid(vote.value)) >= SCOPE_FLOOR
        inside[place] = inside.get(place, False) or may

    def applies(question: Question) -> bool:
        principle = matter.principles[question.principle]
        if principle.applies_when is None:
            return True
        return inside.get((question.conversation, principle.question_digest("applies")), True)

    return [question for question in questions if applies(question)]
