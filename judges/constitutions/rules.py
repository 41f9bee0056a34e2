"""Rules: principles that code checks, exactly and without a model.

Every rule yields how well it is met, from 0 to 1. Where being a little off is better than being
far off, the score says so: two completions that both break a limit can still be told apart.
"""

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from judges.constitutions.rules_answers import final_answer, same_number, same_text, stated_number
from judges.constitutions.rules_json import compile_schema, fits_schema
from judges.constitutions.rules_text import (
    LANGUAGES,
    count_phrases,
    count_sentences,
    count_words,
    ends_as_sentence,
    reading_grade,
    recognised_language,
    repeated_share,
)
from judges.records import Message, Record
from judges.suggest import did_you_mean

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

RULES_FINGERPRINT = "rules@1"
"""What a rule's votes name as their judge; raised when the meaning of any check changes."""

# Stripped, so that `text: |`, `text: >` and a quoted text have one digest.
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no Python regular expression ({error})") from error
    return pattern


def _has_language(code: str) -> str:
    if code not in LANGUAGES:
        hint = did_you_mean(code, LANGUAGES) or "; use an ISO 639-1 code such as en"
        raise ValueError(f"is {code!r}, no language that can be told{hint}")
    return code


def _is_schema(schema: dict[str, Any]) -> dict[str, Any]:
    compile_schema(schema)
    return schema


def _states_number(text: str) -> str:
    if stated_number(text) is None:
        raise ValueError(f"is {text!r}, which holds no number; write one, such as 42 or '3/4'")
    return text


class LimitRule(Record):
    """A count that the completion keeps to; the further it is off, the lower the score."""

    kind: Literal["max_words", "min_words", "max_sentences", "max_characters", "min_characters"]
    """What is counted, and whether the value is the most or the least."""
    value: Annotated[int, Field(ge=1, le=1_000_000)]
    """The limit, itself allowed."""


class PhrasesRule(Record):
    """Phrases that the completion avoids or contains: whole words, whatever their case."""

    kind: Literal["forbidden_phrases", "required_phrases"]
    """Whether none or all of the phrases should occur."""
    value: Annotated[tuple[Prose, ...], Field(min_length=1)]
    """The phrases."""


class PatternRule(Record):
    """A regular expression that the completion matches somewhere, or nowhere."""

    kind: Literal["regex"]
    """Searched with Python's `re`; write `(?i)` in front to ignore case."""
    value: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_compiles)]
    """The pattern."""
    must_match: bool = True
    """False: the completion is good when the pattern is found nowhere."""


class EndingRule(Record):
    """The completion ends as a sentence does. It takes no value."""

    kind: Literal["complete_sentence"]
    """The only kind."""


class DocumentRule(Record):
    """The completion is one JSON document that a JSON Schema accepts."""

    kind: Literal["json_schema"]
    """The only kind."""
    value: Annotated[dict[str, Any], AfterValidator(_is_schema)]
    """The schema, of draft 2020-12; references stay inside it, and nothing is fetched."""

    @cached_property
    def validator(self) -> "Draft202012Validator":
        """The schema, ready to check documents."""
        return compile_schema(self.value)


class LanguageRule(Record):
    """The completion is written in one language."""

    kind: Literal["language"]
    """The only kind."""
    value: Annotated[
        str, AfterValidator(_has_language), Field(json_schema_extra={"enum": list(LANGUAGES)})
    ]
    """ISO 639-1 code of the language, such as `en`."""


class ReadingRule(Record):
    """English that is no harder to read than a school grade."""

    kind: Literal["max_reading_grade"]
    """The only kind."""
    value: Annotated[float, Field(ge=1, le=30, allow_inf_nan=False)]
    """The highest Flesch-Kincaid grade, itself allowed."""


class RepetitionRule(Record):
    """The completion does not say the same words in a row again and again."""

    kind: Literal["max_repetition"]
    """The only kind."""
    value: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    """The largest share of runs of words that occurred before, itself allowed."""
    run_length: Annotated[int, Field(ge=1, le=20)] = 3
    """How many words make a run."""


class TextAnswerRule(Record):
    """The completion gives the expected text, Unicode form and spacing aside."""

    kind: Literal["exact_match"]
    """The only kind."""
    value: Prose | None = None
    """The expected text; left out, each item's reference answer."""
    final_answer: bool = False
    r"""True: only the final answer is compared: `\boxed{…}`, else what follows "answer:"."""
    ignore_case: bool = True
    """Whether capital and small letters are the same."""
    ignore_punctuation: bool = True
    """Whether quotes and emphasis around the text, and marks at its end, are set aside."""


Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class NumberAnswerRule(Record):
    """The completion's final number is the expected one."""

    kind: Literal["numeric_answer"]
    """The only kind."""
    value: (
        Annotated[Prose, AfterValidator(_states_number)]
        | Annotated[float, Field(allow_inf_nan=False)]
        | None
    ) = None
    """The expected number, or a text such as `3/4`; left out, each item's reference answer."""
    absolute: Tolerance = 0.0
    """How far off the number may be."""
    relative: Tolerance = 0.0
    """How far off it may be, as a share of the expected number; the wider of the two counts."""


Rule = Annotated[
    LimitRule
    | PhrasesRule
    | PatternRule
    | EndingRule
    | DocumentRule
    | LanguageRule
    | ReadingRule
    | RepetitionRule
    | TextAnswerRule
    | NumberAnswerRule,
    Field(discriminator="kind"),
]


def reads_reference(rule: Rule) -> bool:
    """Whether a rule's score depends on the item's reference answer, which then keys its votes."""
    return isinstance(rule, TextAnswerRule | NumberAnswerRule) and rule.value is None


def check_rule(
    rule: Rule,
    conversation: tuple[Message, ...],  # noqa: ARG001 - what a rule may read, though none does yet
    text: str,
    reference: str | None = None,
) -> float | None:
    """How well a completion's text meets a rule: 1 fully, 0 not at all, None where code cannot say.

    Only what the vote's key holds counts, so not how the completion came to end; the reference
    answer only where `reads_reference`.

    A `max_` limit: 1 up to the limit, then falling in a straight line to 0 at twice the limit;
    `max_repetition` to 0 at a share of 1. `min_words`, `min_characters`: the share of them that is
    there. `required_phrases`: the share that occurs. All others: 1 or 0.

    None: a language that cannot be told, the reading grade of a text without words, an answer
    where none is expected, or a reference answer without a number.
    """
    match rule:
        case LimitRule():
            return _within(rule, text)
        case PhrasesRule():
            return _phrases_met(rule, text)
        case PatternRule():
            return float((_compiled(rule.value).search(text) is not None) == rule.must_match)
        case EndingRule():
            return float(ends_as_sentence(text))
        case DocumentRule():
            return _as_score(fits_schema(text, rule.validator))
        case LanguageRule():
            language = recognised_language(text)
            return None if language is None else float(language == rule.value)
        case ReadingRule():
            grade = reading_grade(text)
            return None if grade is None else _at_most(grade, rule.value)
        case RepetitionRule():
            return min(1.0, (1.0 - repeated_share(text, rule.run_length)) / (1.0 - rule.value))
        case TextAnswerRule() | NumberAnswerRule():
            expected = reference if rule.value is None else str(rule.value)
            return None if expected is None else _as_score(_is_answer(rule, text, expected))


_compiled = lru_cache(maxsize=1024)(re.compile)


def _as_score(met: bool | None) -> float | None:
    return None if met is None else float(met)


def _within(rule: LimitRule, text: str) -> float:
    if rule.kind in ("max_words", "min_words"):
        counted = count_words(text)
    elif rule.kind == "max_sentences":
        counted = count_sentences(text)
    else:
        counted = len(text.strip())
    if rule.kind.startswith("min_"):
        return min(1.0, counted / rule.value)
    return _at_most(counted, rule.value)


def _at_most(counted: float, limit: float) -> float:
    return min(1.0, max(0.0, 2.0 - counted / limit))


def _phrases_met(rule: PhrasesRule, text: str) -> float:
    found = count_phrases(text, rule.value)
    if rule.kind == "required_phrases":
        return found / len(rule.value)
    return float(found == 0)


def _is_answer(rule: TextAnswerRule | NumberAnswerRule, text: str, expected: str) -> bool | None:
    if isinstance(rule, NumberAnswerRule):
        return same_number(text, expected, rule.absolute, rule.relative)
    given = final_answer(text) if rule.final_answer else text
    if given is None:
        return False
    return same_text(given, expected, rule.ignore_case, rule.ignore_punctuation)
