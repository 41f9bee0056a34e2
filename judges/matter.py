"""The texts behind the digests of questions: what a judge is shown, and what code checks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from judges.asking import Asking
from judges.canonical import text_digest
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.rules import check_rule
from judges.judge import Judge, rule_setting
from judges.layout import Case, vote_prompt
from judges.model import ModelPrompt
from judges.records import Item, Kind, Question, Setting, Vote

FOLLOWS = "It follows this principle: {}"
"""A principle as a statement about one completion."""


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
            for family in (family for family, _ in judge.families if kind == "pair"):
                one = judge.under(family)
                settings[one.setting(kind).digest] = (one, one.setting(kind))
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
