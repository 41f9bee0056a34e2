"""Many texts as one flat array of word numbers: what counting, n-grams and copies are read from."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from judges.calibration.estimates import FloatArray, IntArray

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
RUN_BITS = 38
MULTIPLIER = 0x2545F4914F6CDD1D
"""Odd, so that no bit of an earlier word of a run is lost."""
APOSTROPHES = str.maketrans("\u2019\u02bc", "''")


@dataclass(frozen=True)
class Words:
    """The words of D texts, one after the other, in lower case; punctuation is passed over."""

    numbers: IntArray
    """Which word of the vocabulary stands at each place. Shapes: (T,)."""
    texts: IntArray
    """Which text each place belongs to. Shapes: (T,)."""
    counts: IntArray
    """Words in each text. Shapes: (D,)."""
    vocabulary: list[str]
    """The words by number, in order of first appearance."""

    @property
    def places(self) -> IntArray:
        """How many words of the same text stand before each. Shapes: (T,)."""
        starts = np.cumsum(self.counts) - self.counts
        return np.arange(len(self.numbers)) - starts[self.texts]

    def joined(self, size: int) -> IntArray:
        """Places from which `size` words follow in the same text."""
        last = len(self.numbers) - size + 1
        if last <= 0:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.texts[:last] == self.texts[size - 1 :])


def split_words(texts: Iterable[str]) -> Words:
    """The words of some texts. Scripts that put no spaces yield whole clauses as words."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    # One text at a time, so that the words themselves are never all in memory.
    counts: list[int] = []

    def found(text: str) -> list[str]:
        words = WORD.findall(text.lower().translate(APOSTROPHES))
        counts.append(len(words))
        return words

    every = chain.from_iterable(map(found, texts))
    flat = np.fromiter(map(numbers.__getitem__, every), np.int64)
    sizes = np.array(counts, np.int64)
    return Words(flat, np.repeat(np.arange(len(sizes)), sizes), sizes, list(numbers))


def scrambled(numbers: IntArray) -> IntArray:
    """Word numbers as 64 mixed bits: sums of them over a window tell windows apart.

    Source: splitmix64, Steele et al. 2014.
    """
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((mixed ^ (mixed >> np.uint64(31))).view(np.int64))


def windows(words: Words, size: int) -> tuple[IntArray, IntArray]:
    """A hash of every run of `size` words, and the text it stands in."""
    start = words.joined(size)
    by_word = scrambled(np.arange(len(words.vocabulary)))
    hashes = np.zeros(len(start), np.int64)
    for step in range(size):
        hashes = hashes * MULTIPLIER + by_word[words.numbers[start + step]]
    return hashes, words.texts[start]


def distinct_share(words: Words, size: int) -> FloatArray:
    """Share of different runs of `size` words among all of a text; 1 where it has none. (D,)"""
    hashes, texts = windows(words, size)
    # One sort of packed numbers takes a tenth of a sort by two columns; within one text, equal
    # low halves of different runs are too rare to matter.
    ordered = np.sort((texts << RUN_BITS) | (hashes & ((1 << RUN_BITS) - 1)))
    new = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    all_D = np.bincount(texts, minlength=len(words.counts))
    new_D = np.bincount(ordered[new] >> RUN_BITS, minlength=len(words.counts))
    return np.asarray(np.where(all_D > 0, new_D / np.maximum(all_D, 1), 1.0))
