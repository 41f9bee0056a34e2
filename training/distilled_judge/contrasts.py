"""Questions that keep a trained judge reading: principles turned round, and others.

A judge trained on one principle alone learns to answer without reading it. So each pair is also
asked under the principle's opposite, where the right answer turns round, and under principles that
have nothing to do with it and whose answer code knows.
"""

import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

OPPOSITES = (
    "Prefer the completion that goes against this: {text}",
    "The better completion here is the one that breaks this principle: {text}",
    "Name the completion that follows this less well: {text}",
    "Choose the completion of which this is not true: {text}",
)
"""How a principle is turned round. The judge card's own wording is none of them, so that the
inversion a card measures is not simply learned by heart."""


class Contrast(NamedTuple):
    """A principle whose answer is counted."""

    more: str
    """The principle that prefers the larger count."""
    less: str
    """The one that prefers the smaller."""
    count: Callable[[str], int]
    """What is counted in a completion."""


def _occurrences(pattern: str) -> Callable[[str], int]:
    found = re.compile(pattern, re.IGNORECASE)
    return lambda text: len(found.findall(text))


def _present(pattern: str) -> Callable[[str], int]:
    found = re.compile(pattern, re.IGNORECASE)
    return lambda text: int(found.search(text) is not None)


CONTRASTS = (
    Contrast("Prefer the longer completion.", "Prefer the shorter completion.", len),
    Contrast(
        "Prefer the completion that asks a question.",
        "Prefer the completion that asks no question.",
        _present(r"\?"),
    ),
    Contrast(
        "Prefer the completion that says sorry.",
        "Prefer the completion that does not say sorry.",
        _present(r"\b(sorry|apolog\w+)\b"),
    ),
    Contrast(
        "The better completion speaks of itself more often, as I or me.",
        "The better completion speaks of itself less, as I or me.",
        _occurrences(r"\b(i|me|my)\b"),
    ),
    Contrast(
        "The better completion says you more often.",
        "The better completion says you less often.",
        _occurrences(r"\b(you|your)\b"),
    ),
    Contrast(
        "Prefer the completion with a number in it.",
        "Prefer the completion without any number.",
        _present(r"[0-9]"),
    ),
    Contrast(
        "Prefer the completion with an exclamation mark.",
        "Prefer the completion without exclamation marks.",
        _present("!"),
    ),
    Contrast(
        "Prefer the completion that has more sentences.",
        "Prefer the completion that has fewer sentences.",
        _occurrences(r"[.!?](\s|$)"),
    ),
)


def turn_round(text: str, random: Random) -> str:
    """The opposite of a principle, in one of the wordings drawn."""
    return random.choice(OPPOSITES).format(text=text)


def draw_contrast(first: str, second: str, random: Random) -> tuple[str, float] | None:
    """A principle that tells two completions apart, and 1 where it prefers the first, else 0.

    Half of them are turned round by their wording, for turning round is a thing of its own to
    learn. None where all counts are equal.
    """
    apart = [contrast for contrast in CONTRASTS if contrast.count(first) != contrast.count(second)]
    if not apart:
        return None
    contrast = random.choice(apart)
    wants_more = random.random() < 0.5
    text = contrast.more if wants_more else contrast.less
    first_has_more = contrast.count(first) > contrast.count(second)
    answer = first_has_more == wants_more
    if random.random() < 0.5:
        return turn_round(text, random), float(not answer)
    return text, float(answer)
