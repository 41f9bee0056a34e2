"""A constitution: versioned principles, how their verdicts are weighed, and the digests of both.

These records are also the file format: `constitution_schema` is made from them, and
`judges.constitutions.files` reads YAML into them.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from judges.canonical import canonical_json, digest, text_digest
from judges.constitutions.rules import Prose, Rule
from judges.errors import ConstitutionError
from judges.records import Kind, Message, Record

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
NUMBER = r"(0|[1-9][0-9]{0,8})"
VERSION = rf"^{NUMBER}\.{NUMBER}\.{NUMBER}$"
EXACT_REFERENCE = rf"^[a-z0-9]+(-[a-z0-9]+)*@{NUMBER}\.{NUMBER}\.{NUMBER}$"

Tier = Literal["hard", "high", "normal", "style"]
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=64)]
Version = Annotated[str, StringConstraints(pattern=VERSION)]
ExactReference = Annotated[str, StringConstraints(pattern=EXACT_REFERENCE, max_length=100)]
Weight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


Place = tuple[str | int, ...]


def _misfit(at: Place, message: str, first: Place = ()) -> Exception:
    """An error at a place inside the record, and where the first of two clashing things is."""
    context = {"at": at, "message": message, "first": first}
    return PydanticCustomError("misfit", "{message}", context)


class Proposition(Record):
    """A statement about one completion that a judge answers with yes or no."""

    id: Slug
    """Names the statement within its principle."""
    text: Prose
    """The statement the judge reads."""
    expect: bool = True
    """The answer that speaks for the completion."""
    weight: Weight = 1.0
    """How much it counts beside the principle's other propositions."""

    @property
    def question_text(self) -> str:
        """The canonical text that votes on the statement are keyed by."""
        return canonical_json({"statement": self.text})

    @property
    def question_digest(self) -> str:
        """The sha-256 of `question_text`."""
        return text_digest(self.question_text)


class GoldenTest(Record):
    """A case whose answer the author is sure of."""

    prompt: Prose | Annotated[tuple[Message, ...], Field(min_length=1)]
    """A user's message, or a whole conversation of messages."""
    better: Prose
    """The completion that follows the principle better."""
    worse: Prose
    """The completion that follows it less."""

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The prompt as messages."""
        if isinstance(self.prompt, str):
            return (Message(role="user", content=self.prompt),)
        return self.prompt


# What `Principle._has_one_question` checks, said in JSON Schema.
_ONE_QUESTION: dict[str, Any] = {
    "oneOf": [
        {"required": ["text"], "properties": {"text": {"type": "string"}}},
        {"required": ["rule"], "properties": {"rule": {"type": "object"}}},
    ]
}


class Principle(Record):
    """One thing a completion should do, judged by a model (`text`) or checked by code (`rule`)."""

    model_config = ConfigDict(json_schema_extra=_ONE_QUESTION)

    id: Slug
    """Stable for ever: a renamed principle is a new principle."""
    family: Slug
    """What it is about, such as `honesty`: a judge trained for a family can be chosen for it."""
    title: Prose
    """A few words for tables and reports; no judge reads it."""
    text: Prose | None = None
    """What the judge reads. Its votes are keyed by it: new wording, new votes."""
    tier: Tier = "normal"
    """A decisive higher tier outranks every lower one."""
    weight: Weight = 1.0
    """How much it counts within its tier."""
    applies_when: Prose | None = None
    """A yes-or-no question about the conversation: the principle counts as far as it is a yes."""
    critique: Prose | None = None
    """The request that finds where a completion falls short of the principle."""
    revise: Prose | None = None
    """The request that rewrites the completion."""
    rule: Rule | None = None
    """In place of `text`: checked by code, exactly, without a model."""
    propositions: tuple[Proposition, ...] = ()
    """Yes-or-no statements that spell the principle out for scoring a single completion."""
    tests: tuple[GoldenTest, ...] = ()
    """Golden cases; `charter constitution test` runs them."""
    source: Prose | None = None
    """Where the idea comes from, for readers."""

    @model_validator(mode="after")
    def _has_one_question(self) -> Self:
        if self.text is not None and self.rule is not None:
            raise _misfit(
                ("rule",), "has both text and rule; keep one of them, or make two principles"
            )
        if self.text is None and self.rule is None:
            raise _misfit((), "has neither text nor rule; add `text: …`, what the judge shall read")
        _refuse_repeated(("propositions",), [proposition.id for proposition in self.propositions])
        return self

    def question_text(self, kind: Kind) -> str:
        """The canonical text that votes of a kind are keyed by and that the store interns.

        Pairs, groups and single completions are asked about the same `text`.
        Raises: ConstitutionError when the principle has no such question.
        """
        field = {"applies": "applies_when", "rule": "rule"}.get(kind, "text")
        content = getattr(self, field)
        if isinstance(content, Record):  # a text is stated as it stands, and asked for often
            content = _stated(self)[field]
        if content is None:
            raise ConstitutionError(
                f"principle {self.id!r} has no {field}, so it has no {kind!r} question"
            )
        return canonical_json({field: content})

    @property
    def question_kinds(self) -> tuple[Kind, ...]:
        """The questions this principle puts: its rule or its text, and its scope if it has one."""
        about: Kind = "rule" if self.rule is not None else "pair"
        return (about,) if self.applies_when is None else (about, "applies")

    def question_digest(self, kind: Kind) -> str:
        """The sha-256 of `question_text`: the principle's part of a vote key."""
        return text_digest(self.question_text(kind))


class AggregateSettings(Record):
    """How a pair's votes become one verdict."""

    tie_margin: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.05
    """A pair whose p lies closer to 0.5 than this is a tie."""
    decisive: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """The highest tier whose mean logit is further from 0 than this decides alone."""
    abstain_below: Share = 0.0
    """A pair whose |2p - 1| is smaller than this is unscored; 0 never abstains."""
    min_weight: Share = 0.8
    """A pair with votes for less than this share of the weight is unscored."""


class Digests(Record):
    """What changed, by what it costs to catch up; each 64 hexadecimal digits."""

    judged: str
    """Texts, scopes, rules and propositions. Changed: the changed ones need new votes."""
    aggregate: str
    """Weights, tiers, families, thresholds. Changed: `charter reweigh`, no model call."""
    revision: str
    """Critique and revision requests. Changed: new critiques and revisions, no new votes."""


class Constitution(Record):
    """A named, versioned set of principles with `extends` already resolved."""

    name: Slug
    """The folder's name: lower-case letters, digits and single hyphens."""
    version: Version
    """Semantic version of three numbers, the file's name; immutable once published."""
    title: Prose
    """One line for lists."""
    licence: Prose
    """SPDX identifier of the text's licence, such as `CC0-1.0`."""
    description: Prose | None = None
    """What it is for, and what it leaves out."""
    extends: tuple[ExactReference, ...] = ()
    """Parents, `name@1.0.0`, in order: a principle with the same id replaces theirs in place."""
    drop: tuple[Slug, ...] = ()
    """Ids of the parents' principles that are left out."""
    aggregate: AggregateSettings = AggregateSettings()
    """How votes are weighed; left out, the parents' settings hold."""
    principles: tuple[Principle, ...] = ()
    """The principles, in the order shown to readers; the order never changes a verdict."""

    @model_validator(mode="after")
    def _principles_are_distinct(self) -> Self:
        _refuse_repeated(("principles",), [principle.id for principle in self.principles])
        if not self.principles and not self.extends:
            raise _misfit((), "has no principles; add `principles:` with at least one")
        return self

    @property
    def reference(self) -> str:
        """The exact reference, `name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def digests(self) -> Digests:
        """One digest each for what judging, aggregating and revising read."""
        return Digests(
            judged=digest({p.id: _judged(p) for p in self.principles}),
            aggregate=digest(
                {
                    "settings": self.aggregate.model_dump(mode="json"),
                    "principles": {p.id: _weighed(p) for p in self.principles},
                }
            ),
            revision=digest({p.id: _pick(p, "critique", "revise") for p in self.principles}),
        )

    @property
    def digest(self) -> str:
        """The sha-256 of everything in it, readers' titles and the order included."""
        return digest(_stated(self))


def _refuse_repeated(where: tuple[str, ...], ids: list[str]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(ids):
        if name in seen:
            message = f"id {name!r} is used twice; rename or remove one of the two"
            raise _misfit((*where, index, "id"), message, first=(*where, seen[name], "id"))
        seen[name] = index


def _stated(record: Record) -> dict[str, Any]:
    """What the record says beyond the defaults, so that a new optional field moves no digest.

    The price: a default is part of the format and can never change.
    """
    return record.model_dump(mode="json", exclude_defaults=True)


def _pick(record: Record, *fields: str) -> dict[str, Any]:
    return {key: value for key, value in _stated(record).items() if key in fields}


def _judged(principle: Principle) -> dict[str, Any]:
    statements = {p.id: p.text for p in principle.propositions}
    return _pick(principle, "text", "applies_when", "rule") | {"propositions": statements}


def _weighed(principle: Principle) -> dict[str, Any]:
    shares = {p.id: _pick(p, "expect", "weight") for p in principle.propositions}
    return _pick(principle, "family", "tier", "weight") | {"propositions": shares}


def constitution_schema() -> dict[str, Any]:
    """The JSON Schema of a constitution file, for editors and other software."""
    schema = Constitution.model_json_schema(mode="validation")
    schema["description"] = "A charter constitution file: YAML 1.2, UTF-8, without anchors."
    schema["anyOf"] = [{"required": ["principles"]}, {"required": ["extends"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def constitution_schema_text() -> str:
    """The text of constitutions/schema.json."""
    return json.dumps(constitution_schema(), indent=2, ensure_ascii=False) + "\n"
