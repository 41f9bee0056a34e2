"""Rules: principles that code checks, exactly and without a model.

Every rule yields how well it is met, from 0 to 1. Where being a little off is better than being
far off, the score says so: two completions that both break a limit can still be told apart.
"""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from judges.records import Message, Record

RULES_FINGERPRINT = "rules@1"
"""What a rule's votes name as their judge; raised when the meaning of any check changes."""

# Stripped, so that `text: |`, `text: >` and a quoted text have one digest.
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

CLOSERS = "\"'\u201d\u2019»)]*_`"
"""May stand between a sentence's last mark and the space after it."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no Python regular expression ({error})") from error
    return pattern


class LimitRule(Record):
    """A count that the completion keeps to; the further it is off, the lower the score."""

    kind: Literal["max_words", "min_words", "max_sentences", "max_characters"]
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


Rule = Annotated[LimitRule | PhrasesRule | PatternRule | EndingRule, Field(discriminator="kind")]


def check_rule(
    rule: Rule,
    conversation: tuple[Message, ...],  # noqa: ARG001 - what a rule may read, though none does yet
    text: str,
) -> float:
    """How well a completion's text meets a rule: 1 fully, 0 not at all.

    Only what the vote's key holds counts, so not how the completion came to end.

    A `max_` limit: 1 up to the limit, then falling in a straight line to 0 at twice the limit.
    `min_words`: the share of the words that are there. `required_phrases`: the share that occurs.
    All others: 1 or 0.
    """
    if isinstance(rule, LimitRule):
        return _within(rule, text)
    if isinstance(rule, PhrasesRule):
        return _phrases_met(rule, text)
    if isinstance(rule, PatternRule):
        return float((re.search(rule.value, text) is not None) == rule.must_match)
    return float(ends_as_sentence(text))


def _within(rule: LimitRule, text: str) -> float:
    if rule.kind == "min_words":
        return min(1.0, count_words(text) / rule.value)
    if rule.kind == "max_words":
        counted = count_words(text)
    elif rule.kind == "max_sentences":
        counted = count_sentences(text)
    else:
        counted = len(text.strip())
    return min(1.0, max(0.0, 2.0 - counted / rule.value))


def _phrases_met(rule: PhrasesRule, text: str) -> float:
    found = sum(contains_phrase(text, phrase) for phrase in rule.value)
    if rule.kind == "required_phrases":
        return found / len(rule.value)
    return float(found == 0)


def count_words(text: str) -> int:
    """How many runs of non-space characters hold a letter or a digit: dashes are no words."""
    return sum(any(character.isalnum() for character in run) for run in text.split())


def count_sentences(text: str) -> int:
    """How many sentences a text has, an unfinished last one included.

    A sentence ends at . ! ? … (closing quotes and brackets may follow) before a space, or at a
    line break; not where a lower-case letter follows, as after "e.g." or in wrapped lines. List
    markers are no sentences.
    """
    without_markers = re.sub(r"(?m)^[ \t]*(?:\d{1,3}[.)]|[-*•#]+)[ \t]+(?=\S)", "", text)
    breaks = re.compile(rf"[.!?…][{re.escape(CLOSERS)}]*\s+|\s*\n\s*")
    count, start = 0, 0
    for found in breaks.finditer(without_markers):
        if without_markers[found.end() : found.end() + 1].islower():
            continue
        count += _has_letters(without_markers[start : found.start()])
        start = found.end()
    return count + _has_letters(without_markers[start:])


def _has_letters(text: str) -> bool:
    return any(character.isalnum() for character in text)


def ends_as_sentence(text: str) -> bool:
    """Whether a text ends in . ! ? or …, closing quotes, brackets and emphasis set aside."""
    return text.rstrip().rstrip(CLOSERS).endswith((".", "!", "?", "…"))


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether a phrase occurs as whole words; case, spacing and the apostrophe's form aside."""
    folded = _folded(phrase)
    pattern = r"\s+".join(re.escape(word) for word in folded.split())
    # Whole words only where the phrase has a word at its edge: "!" is found in "Great!".
    before = r"(?<![^\W_])" if folded[:1].isalnum() else ""
    after = r"(?![^\W_])" if folded[-1:].isalnum() else ""
    return re.search(before + pattern + after, _folded(text)) is not None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
