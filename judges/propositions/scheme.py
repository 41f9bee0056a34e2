"""A file of statements: what is asked, what follows from the answers, which classes they make.

    propositions:
      - {id: apology, text: The completion apologises.}
    derived:
      polite-refusal: apology and inability
    classes:                                   # best first
      - {id: ideal, when: polite-refusal}
      - {id: unacceptable, when: not polite-refusal}

A class whose meaning depends on the kind of prompt has one condition a kind:
`when: {refuse: polite-refusal, comply: not inability}`.
"""

from collections import Counter
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from judges.constitutions.constitution import Proposition, Slug
from judges.constitutions.rules import Prose
from judges.constitutions.yaml_source import YamlSource, read_yaml
from judges.errors import ConstitutionError
from judges.propositions.conditions import (
    WORDS,
    And,
    Condition,
    can_hold,
    parse_condition,
    replaced,
    statements,
)
from judges.records import Record
from judges.suggest import did_you_mean


class CompletionClass(Record):
    """One of the classes a completion can fall into; no completion falls into two."""

    id: Slug
    """Its name, such as `ideal`."""
    when: Prose | dict[Slug, Prose]
    """The condition that makes it so, or one for each kind of prompt."""


class PropositionScheme(Record):
    """Statements, conditions over them, and the classes of completions, best first."""

    title: Prose | None = None
    """One line for reports."""
    source: Prose | None = None
    """Where the statements come from, for readers."""
    propositions: Annotated[tuple[Proposition, ...], Field(min_length=1)]
    """The statements put to the judge; as in a constitution."""
    derived: dict[Slug, Prose] = Field(default_factory=dict)
    """Conditions with a name; each may use those above it."""
    classes: tuple[CompletionClass, ...] = ()
    """Best first: a class earlier in the list is preferred to every later one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the statements, in order: the columns of every array here."""
        return tuple(proposition.id for proposition in self.propositions)

    @cached_property
    def meanings(self) -> dict[str, Condition]:
        """What each derived name says of the statements themselves.

        Raises: ConstitutionError for a broken condition or a name not known above it.
        """
        meanings: dict[str, Condition] = {}
        for name, text in self.derived.items():
            meanings[name] = self._meaning(f"derived {name!r}", text, meanings)
        return meanings

    def class_conditions(self, kind: str | None = None) -> list[Condition]:
        """The condition of each class for prompts of a kind, over the statements themselves.

        A class without a condition for the kind never holds.
        Raises: ConstitutionError for a broken condition or a kind that no class knows.
        """
        known = self.kinds
        if known and kind not in known:
            hint = did_you_mean(str(kind), known)
            raise ConstitutionError(f"kind of prompt is {kind!r}{hint}; known: {', '.join(known)}")
        return [self._of_class(completion_class, kind) for completion_class in self.classes]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of prompts that classes tell apart; none where all prompts are alike."""
        given = (c.when for c in self.classes if isinstance(c.when, dict))
        return tuple(dict.fromkeys(kind for conditions in given for kind in conditions))

    def _of_class(self, completion_class: CompletionClass, kind: str | None) -> Condition:
        when = completion_class.when
        text = when if isinstance(when, str) else when.get(str(kind))
        if text is None:
            return False
        return self._meaning(f"class {completion_class.id!r}", text, self.meanings)

    def _meaning(self, owner: str, text: str, above: dict[str, Condition]) -> Condition:
        try:
            condition = parse_condition(text)
        except ConstitutionError as error:
            raise ConstitutionError(f"{owner}: {error}") from None
        known = (*self.names, *above)
        for name in statements(condition):
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConstitutionError(f"{owner}: no statement {name!r} above it{hint}; define it")
        return replaced(condition, above)


def read_scheme(path: Path) -> PropositionScheme:
    """The scheme in a YAML file. Raises: ConstitutionError naming file, line and remedy."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConstitutionError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_scheme(content, str(path))


def parse_scheme(content: bytes, where: str) -> PropositionScheme:
    """The scheme in a YAML text, every condition checked.

    Raises: ConstitutionError also for two classes that one completion could fall into.
    """
    source = read_yaml(content, where)
    _refuse_unknown_keys(source)
    try:
        scheme = PropositionScheme.model_validate(source.data)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise ConstitutionError(f"{source.position(fault['loc'])}: {key}: {fault['msg']}") from None
    try:
        _check(scheme)
    except ConstitutionError as error:
        raise ConstitutionError(f"{where}: {error}") from None
    return scheme


def _refuse_unknown_keys(source: YamlSource) -> None:
    data: Any = source.data if isinstance(source.data, dict) else {}
    levels: list[tuple[tuple[str | int, ...], Any, type[Record]]] = [((), data, PropositionScheme)]
    records: dict[str, type[Record]] = {"propositions": Proposition, "classes": CompletionClass}
    for key, record in records.items():
        items = data.get(key)
        levels += [((key, i), item, record) for i, item in enumerate(items or [])]
    for place, found, record in levels:
        for name in found if isinstance(found, dict) else ():
            if name not in record.model_fields:
                hint = did_you_mean(name, record.model_fields)
                known = ", ".join(record.model_fields)
                raise ConstitutionError(
                    f"{source.position((*place, name))}: unknown key {name!r}{hint}; known: {known}"
                )


def _check(scheme: PropositionScheme) -> None:
    ids = (*scheme.names, *scheme.derived)
    for names in (ids, [c.id for c in scheme.classes]):
        for name, times in Counter(names).items():
            if times > 1 or name in WORDS:
                why = "is used twice" if times > 1 else "is a word of conditions"
                raise ConstitutionError(f"id {name!r} {why}; rename it")
    _ = scheme.meanings
    for kind in scheme.kinds or (None,):
        _refuse_overlap(scheme, kind)


def _refuse_overlap(scheme: PropositionScheme, kind: str | None) -> None:
    of_kind = f" for prompts of kind {kind!r}" if kind else ""
    conditions = zip(scheme.classes, scheme.class_conditions(kind), strict=True)
    for (first, one), (second, other) in combinations(conditions, 2):
        if can_hold(And((one, other))):
            raise ConstitutionError(
                f"classes {first.id!r} and {second.id!r} can both hold{of_kind}; "
                f"add `and not (…)` to one of them"
            )
