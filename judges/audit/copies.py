"""Texts that are nearly the same, found without comparing all with all.

A text is the set of its runs of three words; each set keeps its smallest hash in each of 64 bins
(one-permutation minhash), and texts that agree in a band of bins are compared. Texts of under
three words are compared as wholes.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from judges.audit.words import Words, scrambled, split_words, windows
from judges.calibration.estimates import IntArray

RUN = 3
BINS, BANDS = 64, 16
ALIKE = 0.8
"""Texts that share so many of their runs (Jaccard) are copies."""
EMPTY = np.iinfo(np.int64).max


def copy_numbers(
    texts: Sequence[str], words: Words | None = None, alike: float = ALIKE
) -> tuple[IntArray, IntArray]:
    """A number for each text, the same for exact copies; and one the same for near copies too.

    `words` are those of the texts, where they are split already. Cost: linear in words. Copies of
    copies have one number. At Jaccard 0.8 a pair is missed with chance 0.0002.
    Source: Broder 1997; Li, Owen and Zhang 2012; Shrivastava and Li 2014.
    """
    first: dict[str, int] = {}
    plain = (" ".join(text.split()) for text in texts)
    exact = np.fromiter((first.setdefault(one, len(first)) for one in plain), np.int64)
    near = _joined_copies(signatures(words or split_words(texts)), alike)
    return exact, near


def signatures(words: Words) -> IntArray:
    """The smallest hash of each text in each bin, empty bins filled from the next. (D, BINS)"""
    hashes, texts = windows(words, RUN)
    short = np.flatnonzero(words.counts < RUN)
    hashes = np.append(hashes, _whole_hashes(words)[short])
    texts = np.append(texts, short)
    smallest = np.full(len(words.counts) * BINS, EMPTY, np.int64)
    np.minimum.at(smallest, texts * BINS + (hashes & (BINS - 1)), hashes >> 6)
    return _filled(smallest.reshape(-1, BINS))


def _whole_hashes(words: Words) -> IntArray:
    """A hash of each text's words, order included."""
    by_word = scrambled(words.numbers) * (words.places + 1)
    sums = np.zeros(len(words.counts), np.int64)
    np.add.at(sums, words.texts, by_word)
    return scrambled(sums)


def _filled(smallest: IntArray) -> IntArray:
    """Each empty bin takes the next full one's value, marked by how far it was (densification)."""
    own = np.arange(BINS)
    nearest = np.where(np.tile(smallest, 2) == EMPTY, 2 * BINS, np.arange(2 * BINS))
    nearest = np.minimum.accumulate(nearest[:, ::-1], axis=1)[:, ::-1][:, :BINS]
    found = np.take_along_axis(smallest, nearest % BINS, axis=1)
    return np.where(nearest == own, found, scrambled(found + nearest - own))


def _joined_copies(signature: IntArray, alike: float) -> IntArray:
    """Numbers of the groups that texts with like signatures form. Shapes: (D, BINS) → (D,)."""
    size = len(signature)
    ends: list[tuple[IntArray, IntArray]] = []
    width = BINS // BANDS
    for band in range(BANDS):
        key = np.zeros(size, np.int64)
        for column in signature[:, band * width : (band + 1) * width].T:
            key = scrambled(key + scrambled(column))
        order = np.argsort(key, kind="stable")
        same = key[order][1:] == key[order][:-1]
        # Each with the one before it: a chain through its bucket, so that big ones stay cheap.
        ends.append((order[:-1][same], order[1:][same]))
    first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
    if not len(first):
        return np.arange(size)
    first, second = np.unique(np.sort(np.column_stack([first, second]), axis=1), axis=0).T
    agree = (signature[first] == signature[second]).mean(axis=1)
    first, second = first[agree >= alike], second[agree >= alike]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
