"""Violations of rules made by code: exact, free, and checked by the rule itself."""

import re
from bisect import bisect_left

from judges.constitutions.rules import (
    DocumentRule,
    EndingRule,
    LimitRule,
    PatternRule,
    PhrasesRule,
    RepetitionRule,
    Rule,
    check_rule,
)
from judges.constitutions.rules_text import CLOSERS
from judges.records import Message

ADDED = " There is more to be said about this, and it will be said here."
LONGEST = 20_000
"""Characters that are added at most: a limit beyond it is left to a model."""


def violate_rule(rule: Rule, conversation: tuple[Message, ...], text: str) -> str | None:
    """A copy that meets the rule less than the text does; None where code can make none.

    Code leaves to a model: patterns that must not match, languages, reading grades and answers;
    also a limit of one word, or one too large to pass.
    """
    made = _violated(rule, text)
    if made is None or not made.strip() or not lowers(rule, conversation, text, made):
        return None
    return made


def lowers(rule: Rule, conversation: tuple[Message, ...], text: str, copy: str) -> bool:
    """Whether a copy meets a rule less than the text; not where the rule can score but one."""
    before, after = (check_rule(rule, conversation, shown) for shown in (text, copy))
    return before is not None and after is not None and after < before


def _violated(rule: Rule, text: str) -> str | None:
    match rule:
        case LimitRule():
            least = rule.kind.startswith("min_")
            return _shortened(rule, text) if least else _lengthened(rule, text, ADDED)
        case PhrasesRule():
            forbidden = rule.kind == "forbidden_phrases"
            return _phrase_put_in(rule, text) if forbidden else _cut(rule, text)
        case PatternRule():
            return re.sub(rule.value, "", text) if rule.must_match else None
        case EndingRule():
            return text.rstrip().rstrip(CLOSERS + ".!?…").rstrip()
        case DocumentRule():
            return text.rstrip().rstrip("`").rstrip()[:-1]
        case RepetitionRule():
            return _lengthened(rule, text, f" {text.strip()}")
        case _:
            return None


def _lengthened(rule: LimitRule | RepetitionRule, text: str, added: str) -> str:
    """The text with more of the same added, as little as it takes to pass the limit."""
    kept = text.rstrip()
    most = LONGEST // len(added)
    times = bisect_left(
        range(most), True, key=lambda n: check_rule(rule, (), kept + n * added) != 1
    )
    return kept + times * added


def _shortened(rule: LimitRule, text: str) -> str:
    """The text without its last words, as few as it takes to miss the limit."""
    parts = re.findall(r"\s*\S+", text)
    gone = bisect_left(
        range(len(parts)),
        True,
        key=lambda n: check_rule(rule, (), "".join(parts[: len(parts) - n])) != 1,
    )
    return "".join(parts[: len(parts) - gone])


def _phrase_put_in(rule: PhrasesRule, text: str) -> str:
    """The first phrase, put before the text's last word so that its end stays what it was."""
    before, _, last = text.rstrip().rpartition(" ")
    return f"{before} {rule.value[0]} {last}".lstrip()


def _cut(rule: PhrasesRule, text: str) -> str:
    """The text without any of the required phrases."""
    for phrase in rule.value:
        words = r"\s+".join(re.escape(word) for word in phrase.split())
        text = re.sub(words, "", text, flags=re.IGNORECASE)
    return re.sub(r"(?<=\S)[ \t]{2,}", " ", text).strip()
