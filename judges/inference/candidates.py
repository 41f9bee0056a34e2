"""Candidate principles: proposed by a model, given in a file, or hypotheses that code can check."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from judges.canonical import digest
from judges.cards.labelled import LabelledPair
from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.rules import LimitRule, PatternRule, Rule
from judges.constitutions.rules_text import count_sentences, count_words
from judges.errors import DataError
from judges.jsonl import read_lines
from judges.records import Record

Origin = Literal["proposed", "file", "hypothesis"]
MOST_CANDIDATE_WORDS = 40
PATTERNS: dict[str, tuple[str, str]] = {
    "lists": ("lists", r"(?m)^\s*([-*•]|\d{1,3}[.)])\s"),
    "headings": ("headings", r"(?m)^\s{0,3}#{1,6}\s"),
    "bold": ("bold type", r"\*\*[^*\n]+\*\*"),
    "code": ("code", r"```|`[^`\n]+`"),
    "hedging": (
        "hedging",
        r"(?i)\b(perhaps|maybe|might|possibly|I think|I believe|it seems|not sure|likely)\b",
    ),
    "refusal": (
        "refusals",
        r"(?i)\b(I (can't|cannot|can not|won't|am unable|am not able)|I'm (unable|not able)|"
        r"(can't|cannot|won't) (help|assist))\b",
    ),
    "apology": ("apologies", r"(?i)\b(sorry|apologi[sz]e|apologies|regret)\b"),
    "politeness": (
        "politeness",
        r"(?i)\b(please|thank you|thanks|you're welcome|(happy|glad) to help)\b",
    ),
    "praise": ("praise of the question", r"(?i)\b(great|good|excellent|wonderful) question\b"),
    "disclaimer": ("talk of being an AI", r"(?i)\bas an? (AI|language model|assistant)\b"),
    "exclamation": ("exclamation marks", r"!"),
    "question": ("a closing question", r"\?\s*$"),
    "numbers": ("digits", r"\d"),
    "example": ("examples", r"(?i)\b(for example|for instance|e\.g\.|such as)\b"),
    "warning": ("warnings", r"(?i)\b(warning|caution|be careful|important to note|consult)\b"),
    "emoji": ("emoji", "[\U0001f300-\U0001faff\u2600-\u27bf]"),
    "first-person": ("the word I", r"\bI('m|'ve|'ll)?\b"),
    "second-person": ("the word you", r"(?i)\byou(r|'re|'ll)?\b"),
}


class Candidate(Record):
    """One principle that may explain the preferences."""

    text: str
    """What a judge reads, or, of a rule, what it checks."""
    rule: Rule | None = None
    """Checked by code in place of a judge."""
    origin: Origin
    """Where it comes from."""

    @property
    def id(self) -> str:
        """A stable name, made of what it says."""
        rule = self.rule.model_dump(mode="json") if self.rule else None
        return "c-" + digest([self.text, rule])[:16]

    @property
    def principle(self) -> Principle:
        """The candidate as a principle to vote under."""
        return Principle(
            id=self.id,
            family="inferred",
            title=self.text,
            text=None if self.rule else self.text,
            rule=self.rule,
        )


def problem_of(text: str) -> str | None:
    """Why a text is no candidate, or None: one short sentence is one question to a judge."""
    if count_words(text) < 2:
        return "has fewer than two words; write a sentence"
    if count_words(text) > MOST_CANDIDATE_WORDS:
        return f"has more than {MOST_CANDIDATE_WORDS} words; say it shorter"
    if count_sentences(text) > 1:
        return "is more than one sentence; put each on a line of its own"
    return None


def read_candidates(path: Path) -> list[Candidate]:
    """The candidates of a file, one a line; blank lines and lines that begin with # are passed.

    Raises: DataError naming file and line.
    """
    found: dict[str, int] = {}
    for number, line in read_lines(path):
        try:
            text = " ".join(line.decode("utf-8-sig" if number == 1 else "utf-8").split())
        except UnicodeDecodeError:
            raise DataError(f"{path}:{number}: not UTF-8; save the file as UTF-8") from None
        if not text or text.startswith("#"):
            continue
        if problem := problem_of(text):
            raise DataError(f"{path}:{number}: {text[:60]!r} {problem}")
        if text in found:
            raise DataError(f"{path}:{number}: stands on line {found[text]} too; remove one")
        found[text] = number
    if not found:
        raise DataError(f"{path}: no candidate in it; write one sentence a line")
    return [Candidate(text=text, origin="file") for text in found]


def hypotheses(pairs: Sequence[LabelledPair]) -> list[Candidate]:
    """The shipped hypotheses of style, both directions each; limits of length follow the data.

    Lengths are cut at quartiles because a rule tells two lengths apart only around its limit.
    """
    texts = [completion.text for pair in pairs for completion in pair.item.completions]
    made: list[tuple[str, Rule]] = []
    for name, pattern in PATTERNS.values():
        made.append((f"The completion uses {name}.", PatternRule(kind="regex", value=pattern)))
        without = PatternRule(kind="regex", value=pattern, must_match=False)
        made.append((f"The completion does without {name}.", without))
    made += _lengths([count_words(text) for text in texts])
    return [Candidate(text=text, rule=rule, origin="hypothesis") for text, rule in made]


def _lengths(words: Sequence[int]) -> list[tuple[str, Rule]]:
    if not words:
        return []
    limits = sorted({max(1, int(q)) for q in np.quantile(words, (0.25, 0.5, 0.75))})
    most = max(1, *words)
    shorter: list[tuple[str, Rule]] = [
        (f"The completion is no longer than {n} words.", LimitRule(kind="max_words", value=n))
        for n in limits
    ]
    longer: list[tuple[str, Rule]] = [
        (f"The completion has at least {n} words.", LimitRule(kind="min_words", value=n))
        for n in sorted({*limits, most})
    ]
    return shorter + longer


def ballot_constitution(candidates: Sequence[Candidate]) -> Constitution:
    """A constitution of the candidates, to vote under: their votes are stored, a rerun is free."""
    return Constitution(
        name="candidates",
        version="0.0.0",
        title="Candidate principles",
        licence="CC0-1.0",
        principles=tuple(candidate.principle for candidate in candidates),
    )
