"""What a completion looks like, in numbers: length, layout, tone, repetition, language.

An `amount` asks which side has more of something, a `presence` which side has it at all. English
phrase lists are in phrases.py; everything else holds for any language that puts spaces.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from judges.audit.phrases import PHRASES, count_phrases
from judges.audit.words import Words, distinct_share
from judges.calibration.estimates import FloatArray, IntArray
from judges.constitutions.rules_text import recognised_language

Kind = Literal["amount", "presence", "n-gram", "topic"]
# With a line feed in front, so that the search runs from line feed to line feed.
LIST_ITEM = re.compile(r"\n[ \t]*(?:[-*+\u2022]|[0-9]{1,3}[.)])[ \t]")
HEADING = re.compile(r"\n#{1,6}[ \t]")
BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
LINK = re.compile(r"https?://|\]\(")
EMOJI = re.compile("[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff\U0001f1e6-\U0001f1ff]")
SENTENCE_ENDS = (". ", "! ", "? ", ".\n", "!\n", "?\n", "\u3002", "\uff01", "\uff1f")
PRESENT = (
    "list items", "headings", "code blocks", "bold", "exclamation marks", "question marks",
    "emoji", "links", "numbers", *PHRASES,
)  # fmt: skip


class Feature(NamedTuple):
    """One feature of every text."""

    name: str
    """As the report names it."""
    kind: Kind
    """`amount` or `presence`."""
    values: FloatArray
    """How much of it each text has. Shapes: (D,)."""


class Signs(NamedTuple):
    """On which pairs features tell the sides apart, and which side has them, sorted by feature."""

    names: list[str]
    """The features."""
    kinds: list[Kind]
    """Their kinds."""
    feature: IntArray
    """Number of the feature. Shapes: (E,)."""
    pair: IntArray
    """Number of the pair. Shapes: (E,)."""
    sign: IntArray
    """1 where the chosen side has it, or more of it; −1 where the rejected has. Shapes: (E,)."""


def style_features(
    texts: Sequence[str], words: Words, prompts: Sequence[str] | None = None
) -> list[Feature]:
    """Every style feature of some texts; with each text's prompt, also a change of language.

    Cost: some microseconds a text; about a millisecond where languages are told apart.
    """
    amounts = {"words": words.counts.astype(np.float64), "characters": _each(texts, len)}
    amounts |= {name: _each(texts, count) for name, count in COUNTED.items()}
    amounts["numbers"] = _numbers(words)
    amounts |= {name: count_phrases(words, name).astype(np.float64) for name in PHRASES}
    amounts["word length"] = _word_length(words)
    amounts["repetition"] = 1 - distinct_share(words, 3)
    amounts["distinct word pairs"] = distinct_share(words, 2)
    features = [Feature(name, "amount", values) for name, values in amounts.items()]
    features += [
        Feature(f"any {name}", "presence", (amounts[name] > 0).astype(np.float64))
        for name in PRESENT
    ]
    if prompts is not None:
        features.append(Feature("another language", "presence", _turned(texts, prompts)))
    return features


def style_signs(features: Sequence[Feature]) -> Signs:
    """Which side of each pair has more. Texts are given chosen, rejected, chosen, rejected, …"""
    feature, pair, sign = [], [], []
    for number, one in enumerate(features):
        signs = np.sign(one.values[0::2] - one.values[1::2]).astype(np.int64)
        apart = np.flatnonzero(signs)
        feature.append(np.full(len(apart), number, np.int64))
        pair.append(apart)
        sign.append(signs[apart])
    return Signs(
        [one.name for one in features],
        [one.kind for one in features],
        np.concatenate(feature),
        np.concatenate(pair),
        np.concatenate(sign),
    )


def _each(texts: Sequence[str], count: Callable[[str], int]) -> FloatArray:
    return np.fromiter(map(count, texts), np.float64, len(texts))


def _sentences(text: str) -> int:
    # Counted by `str.count`, ten times as fast as a pattern; a text without an end is one.
    return sum(map(text.count, SENTENCE_ENDS)) + bool(text.strip())


def _emoji(text: str) -> int:
    return 0 if text.isascii() else len(EMOJI.findall(text))


COUNTED: dict[str, Callable[[str], int]] = {
    "sentences": _sentences,
    "paragraphs": lambda text: text.count("\n\n") + 1,
    "list items": lambda text: len(LIST_ITEM.findall("\n" + text)),
    "headings": lambda text: len(HEADING.findall("\n" + text)),
    "code blocks": lambda text: text.count("```") // 2,
    "bold": lambda text: len(BOLD.findall(text)),
    "exclamation marks": lambda text: text.count("!"),
    "question marks": lambda text: text.count("?"),
    "emoji": _emoji,
    "links": lambda text: len(LINK.findall(text)),
}


def _numbers(words: Words) -> FloatArray:
    numeric = np.array([any(map(str.isdecimal, word)) for word in words.vocabulary] + [False])
    hits = words.texts[numeric[words.numbers]]
    return np.bincount(hits, minlength=len(words.counts)).astype(np.float64)


def _word_length(words: Words) -> FloatArray:
    sizes = np.array([len(word) for word in words.vocabulary] + [0], np.float64)
    total = np.bincount(words.texts, weights=sizes[words.numbers], minlength=len(words.counts))
    return np.asarray(total / np.maximum(words.counts, 1))


def _turned(texts: Sequence[str], prompts: Sequence[str]) -> FloatArray:
    """1 where a text is in another language than its prompt, both being recognised."""
    known = {prompt: recognised_language(prompt) for prompt in dict.fromkeys(prompts)}
    pairs = ((recognised_language(t), known[p]) for t, p in zip(texts, prompts, strict=True))
    return np.array([float(None not in pair and pair[0] != pair[1]) for pair in pairs])
