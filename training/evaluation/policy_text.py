"""How a policy's completions look before anyone judges them, and whether they became all alike."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from judges.records import CompletionText, Probability, Record
from training.evaluation.changes import Change, paired_change
from training.evaluation.statistics import Interval, distinct_n, mean_interval, sane, word_grams

Drawn = Sequence[Sequence[CompletionText]]
"""A prompt a row: a policy's completions of it, none where it failed."""
SENTENCE = re.compile(r"[^.!?\n]+")
FEWEST_WORDS = 5
FEWEST_PROMPTS = 3


class PolicyText(Record):
    """How a policy's completions look, before anyone judges them."""

    n: int
    """Completions."""
    sane: Interval
    """Share finished, of five words or more, ending as a sentence, not repeating itself."""
    words: Interval
    """Mean words a completion."""
    distinct_2: Probability
    """Distinct word pairs over all word pairs: 0 says one thing only."""


class Diversity(Record):
    """Whether training made answers alike."""

    within: Change | None
    """How different two answers to one prompt are: 1 less the share of word pairs they have in
    common (Dice). None with one sample a prompt."""
    boilerplate: Change | None
    """Share of completions with a sentence of five words or more that also stands in answers to
    at least two other prompts."""
    distinct_2_before: Probability
    """Distinct word pairs over all, each answer cut to the length of the other policy's."""
    distinct_2_after: Probability
    """The same of the later policy: comparable, as both are taken over as many word pairs."""


def look_at_text(drawn: Drawn, seed: int) -> PolicyText:
    """A policy's completions in numbers. Raises: VerdictError when there is none."""
    completions = [completion for group in drawn for completion in group]
    clusters = [str(index) for index, group in enumerate(drawn) for _ in group]
    texts = [completion.text for completion in completions]
    return PolicyText(
        n=len(texts),
        sane=mean_interval([float(sane(c)) for c in completions], clusters, seed=seed),
        words=mean_interval([float(len(text.split())) for text in texts], clusters, seed=seed),
        distinct_2=distinct_n(texts, 2),
    )


def compare_diversity(before: Drawn, after: Drawn, seed: int) -> Diversity:
    """What became of the variety of answers to the same prompts."""
    old, new = _equally_long(before, after)
    return Diversity(
        within=paired_change([_apart(r) for r in before], [_apart(r) for r in after], seed),
        boilerplate=paired_change(_boilerplate(before), _boilerplate(after), seed, share=True),
        distinct_2_before=_distinct(old),
        distinct_2_after=_distinct(new),
    )


def _apart(row: Sequence[CompletionText]) -> list[float]:
    """How far each two completions of a prompt are apart, 0 to 1."""
    counts = [Counter(word_grams(one.text, 2)) for one in row]
    return [
        1 - 2 * (a & b).total() / (a.total() + b.total())
        for a, b in combinations(counts, 2)
        if a or b
    ]


def _boilerplate(drawn: Drawn) -> list[list[float]]:
    """1 for each completion that holds a sentence which answers to other prompts hold too."""
    sentences = [[_sentences(one.text) for one in row] for row in drawn]
    prompts: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, row in enumerate(sentences):
        for sentence in set().union(*row):
            prompts[sentence].add(number)
    stock = {sentence for sentence, at in prompts.items() if len(at) >= FEWEST_PROMPTS}
    return [[float(not found.isdisjoint(stock)) for found in row] for row in sentences]


def _sentences(text: str) -> set[tuple[str, ...]]:
    words = (tuple(gram[0] for gram in word_grams(part, 1)) for part in SENTENCE.findall(text))
    return {sentence for sentence in words if len(sentence) >= FEWEST_WORDS}


Grams = list[tuple[str, ...]]


def _equally_long(before: Drawn, after: Drawn) -> tuple[list[Grams], list[Grams]]:
    """The word pairs of both policies, answer by answer cut to the shorter."""
    found: tuple[list[Grams], list[Grams]] = ([], [])
    for olds, news in zip(before, after, strict=True):
        for old, new in zip(olds, news, strict=False):
            grams = [list(word_grams(one.text, 2)) for one in (old, new)]
            shorter = min(map(len, grams))
            for side, one in zip(found, grams, strict=True):
                side.append(one[:shorter])
    return found


def _distinct(grams: Sequence[Grams]) -> float:
    every = [gram for one in grams for gram in one]
    return len(set(every)) / len(every) if every else 0.0
