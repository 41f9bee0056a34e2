"""What a constitution's author may want to look at again: all of it allowed, little of it meant.

A finding is a warning. Nothing here changes what a constitution means or whether it loads; two
checks forbid publishing.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from typing import Any, Literal

from judges.constitutions.constitution import Constitution, Principle
from judges.constitutions.rules import DocumentRule, PatternRule, Rule
from judges.constitutions.rules_json import patterns_of
from judges.constitutions.rules_text import count_sentences, count_words
from judges.records import Record

Check = Literal[
    "no-tests",
    "no-critique",
    "no-revise",
    "no-source",
    "long-text",
    "two-in-one",
    "near-duplicate",
    "dominates",
    "same-answers",
    "slow-pattern",
    "no-description",
]

FORBIDDING: tuple[Check, ...] = ("same-answers", "slow-pattern")
"""A test that no judge can pass, and a rule that may never end."""
MOST_WORDS = 60
"""Longer texts blur the vote, and every vote on every pair pays for them."""
_PARSER: Any = import_module("re._parser")  # nothing public shows how a pattern was read
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_ATOMIC = ("ATOMIC_GROUP", "POSSESSIVE_REPEAT")
NEAR = 0.7
"""Share of words in common from which two texts probably ask the same."""


class Finding(Record):
    """One thing to look at again."""

    check: Check
    """Which check speaks."""
    principle: str | None
    """The id it is about; none for the constitution as a whole."""
    message: str
    """What was seen, and what to do."""

    @property
    def forbids(self) -> bool:
        """Whether it keeps a version from being published, as nobody can have meant it."""
        return self.check in FORBIDDING

    @property
    def sentence(self) -> str:
        """What it is about, what was seen, and the check's name."""
        about = f"principle {self.principle!r}" if self.principle else "the constitution"
        return f"{about} {self.message} ({self.check})"


def lint_constitution(constitution: Constitution) -> list[Finding]:
    """What to look at again, principle by principle, then over them all; empty when nothing is."""
    principles = constitution.principles
    findings = [finding for principle in principles for finding in _of_one(principle)]
    findings += [finding for principle in principles for finding in _slow_patterns(principle)]
    findings += _near_duplicates(principles)
    findings += _dominant(principles)
    if constitution.description is None:
        message = "has no description; say what it is for and what it leaves out"
        findings.append(Finding(check="no-description", principle=None, message=message))
    return findings


def _of_one(principle: Principle) -> Iterator[Finding]:
    def finding(check: Check, message: str) -> Finding:
        return Finding(check=check, principle=principle.id, message=message)

    if not principle.tests:
        yield finding("no-tests", "has no tests; add a prompt with a better and a worse completion")
    if principle.critique is None:
        yield finding("no-critique", "has no critique request; ask what falls short of it")
    if principle.revise is None:
        yield finding("no-revise", "has no revise request; ask for what should change")
    if principle.source is None:
        yield finding("no-source", "has no source; say where the idea comes from")
    words = count_words(principle.text or "")
    if words > MOST_WORDS:
        yield finding("long-text", f"has a text of {words} words; aim at {MOST_WORDS} or fewer")
    if _asks_twice(principle.text or ""):
        yield finding("two-in-one", "joins sentences and claims with 'and'; split it in two")
    for number, test in enumerate(principle.tests, start=1):
        if test.better == test.worse:
            yield finding("same-answers", f"test {number}: better and worse are the same text")


def _patterns(rule: Rule | None) -> Iterator[str]:
    if isinstance(rule, PatternRule):
        yield rule.value
    if isinstance(rule, DocumentRule):
        yield from patterns_of(rule.value)


def _slow_patterns(principle: Principle) -> Iterator[Finding]:
    for pattern in filter(nests_repeats, _patterns(principle.rule)):
        yield Finding(
            check="slow-pattern",
            principle=principle.id,
            message=f"repeats a repetition in {pattern!r}, which can take for ever on some texts; "
            f"repeat once, or write the inner one as `++` or `*+`, which never gives back what "
            f"it took",
        )


def nests_repeats(pattern: str) -> bool:
    """Whether an open-ended repetition holds another, as `(a+)+` does: time may double by letter.

    Possessive repetitions and atomic groups hold none. `(a|aa)+` is as slow, and not found.
    """
    return _nests(_PARSER.parse(pattern), within=False)


def _nests(part: Any, within: bool) -> bool:
    """Walks the parsed pattern: nested sequences of (operation, arguments)."""
    if isinstance(part, tuple) and len(part) == 2 and str(part[0]) in _REPEATS:
        _, most, body = part[1]
        endless = most is _PARSER.MAXREPEAT
        return (endless and within) or _nests(body, within or endless)
    if isinstance(part, tuple | list | _PARSER.SubPattern):
        atomic = isinstance(part, tuple) and str(part[0]) in _ATOMIC
        return any(_nests(inner, within and not atomic) for inner in part)
    return False


def _asks_twice(text: str) -> bool:
    """More than one sentence, one of which joins claims with `and`."""
    return count_sentences(text) > 1 and re.search(r"\band\b", text, re.IGNORECASE) is not None


def _near_duplicates(principles: tuple[Principle, ...]) -> Iterator[Finding]:
    judged = [(principle.id, _words(principle.text)) for principle in principles if principle.text]
    for (first, first_words), (second, second_words) in combinations(judged, 2):
        common = len(first_words & second_words) / max(1, len(first_words | second_words))
        if common >= NEAR:
            yield Finding(
                check="near-duplicate",
                principle=second,
                message=f"shares {common:.0%} of its words with {first!r}; together they weigh "
                f"twice: merge them, or say what sets them apart",
            )


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _dominant(principles: tuple[Principle, ...]) -> Iterator[Finding]:
    for tier in ("hard", "high", "normal", "style"):
        peers = [principle for principle in principles if principle.tier == tier]
        total = sum(principle.weight for principle in peers)
        for principle in peers:
            share = principle.weight / total
            # Two peers outvote each other easily; among many, half of the weight decides alone.
            if len(peers) > 1 and share > max(0.5, 3 / (len(peers) + 2)):
                yield Finding(
                    check="dominates",
                    principle=principle.id,
                    message=f"holds {share:.0%} of the weight of tier {tier!r}, more than the "
                    f"other {len(peers) - 1} together; lower it, or give it a higher tier",
                )
