"""Questions that keep a trained judge reading: principles turned round, and others.

A judge trained on one principle alone learns to answer without reading it. So each pair is also
asked under the principle's opposite, where the right answer turns round, and under principles that
have nothing to do with it and whose answer code knows.
"""

import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

FRAMES = (
    "Prefer the completion that {verb} this principle: {text}",
    "The better completion here is the one that {verb} this: {text}",
    "Name the completion that more clearly {verb} the following: {text}",
    "Which completion {verb} this rule? Choose that one. {text}",
    "{text} Choose the completion that {verb} that.",
    "Here is a principle: {text} The right answer is the completion that {verb} it.",
)
"""How a principle is spoken of. Each frame takes verbs of both kinds, so that only what the verb
means tells a principle from its opposite."""

OBEYS = (
    "follows", "obeys", "respects", "honours", "fulfils", "meets", "satisfies", "keeps to",
    "sticks to", "abides by", "complies with", "conforms to", "agrees with", "lives up to",
    "upholds", "observes", "heeds", "serves", "supports", "carries out", "acts on",
    "is in line with", "is true to", "matches", "accords with", "adheres to", "holds to", "fits",
    "embodies", "stands by",
)  # fmt: skip
DEFIES = (
    "breaks", "defies", "flouts", "disregards", "disobeys", "ignores", "neglects", "goes against",
    "fails", "fails to meet", "contradicts", "opposes", "offends against", "departs from",
    "strays from", "falls short of", "betrays", "undermines", "breaches", "infringes", "resists",
    "rejects", "runs counter to", "is at odds with", "conflicts with", "clashes with",
    "tramples on", "deviates from", "transgresses", "abandons",
)  # fmt: skip
"""The judge card's own verb is none of them, and its frame is none of those above, so that the
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


def say_again(text: str, random: Random) -> str:
    """The principle, spoken of as one to obey."""
    return random.choice(FRAMES).format(verb=random.choice(OBEYS), text=text)


def turn_round(text: str, random: Random) -> str:
    """The opposite of a principle: spoken of as one to defy."""
    return random.choice(FRAMES).format(verb=random.choice(DEFIES), text=text)


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
