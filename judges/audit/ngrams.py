"""Phrases of one to three words that stand on one side of a pair only.

A phrase is counted only where it tells the sides of enough pairs apart. That number says nothing
of which side was chosen, so that leaving rare phrases out favours no result.
"""

from typing import NamedTuple

import numpy as np

from judges.audit.features import Signs
from judges.audit.words import Words
from judges.calibration.estimates import IntArray

LONGEST = 3
LEAST_PAIRS = 12
LEAST_SHARE = 0.001
"""A phrase must tell the sides of so many pairs apart, and of such a share of all."""


class _Level(NamedTuple):
    """The frequent phrases of one length."""

    names: list[str]
    at: IntArray
    """Which of them starts at each place; -1: none. Shapes: (T,)."""
    phrase: IntArray
    pair: IntArray
    sign: IntArray


def ngram_signs(words: Words, longest: int = LONGEST) -> Signs:
    """The phrases that tell sides apart often enough. Texts: chosen, rejected, chosen, …

    Longer phrases are built only from frequent shorter ones, which leaves none out: a phrase is
    in no more texts than its parts are. Cost: a sort of all words for each phrase length.
    Source: Agrawal and Srikant 1994 (a priori).
    """
    least = max(LEAST_PAIRS, int(np.ceil(LEAST_SHARE * len(words.counts) / 2)))
    places = np.arange(len(words.numbers))
    single = _level(words, places, words.numbers, words.vocabulary, least)
    levels = [single]
    for size in range(2, longest + 1):
        before = levels[-1]
        places = words.joined(size)
        places = places[(before.at[places] >= 0) & (before.at[places + 1] >= 0)]
        parts = before.at[places], single.at[places + size - 1]
        levels.append(_longer(words, places, parts, before, single, least))
    return _told(levels, least)


def _longer(
    words: Words,
    places: IntArray,
    parts: tuple[IntArray, IntArray],
    before: _Level,
    single: _Level,
    least: int,
) -> _Level:
    code = parts[0] * max(1, len(single.names)) + parts[1]
    frequent, times = _counted(np.sort(code))
    frequent = frequent[times >= least]
    if not len(frequent):
        return _level(words, places[:0], code[:0], [], least)
    number = np.minimum(np.searchsorted(frequent, code), len(frequent) - 1)
    kept = frequent[number] == code
    heads, tails = np.divmod(frequent, len(single.names))
    names = [
        f"{before.names[head]} {single.names[tail]}"
        for head, tail in zip(heads.tolist(), tails.tolist(), strict=True)
    ]
    return _level(words, places[kept], number[kept], names, least)


def _counted(ordered: IntArray) -> tuple[IntArray, IntArray]:
    """The different numbers among sorted ones, and how often each is there.

    `np.unique` builds a hash table first, which takes several times as long as the sort.
    """
    new = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    return ordered[new], np.diff(np.append(new, len(ordered)))


def _level(words: Words, places: IntArray, code: IntArray, names: list[str], least: int) -> _Level:
    """The phrases in at least so many texts, and the pairs in which one side only has them."""
    size = len(words.counts)
    often = np.bincount(code, minlength=len(names)) >= least
    keys, _ = _counted(np.sort(code[often[code]] * size + words.texts[places[often[code]]]))
    often = np.bincount(keys // size, minlength=len(names)) >= least
    keys = keys[often[keys // size]]
    number = np.cumsum(often) - 1
    at = np.full(len(words.numbers), -1, np.int64)
    at[places] = np.where(often[code], number[code], -1)
    # Keys are sorted: the two sides of a pair, where both have the phrase, are neighbours.
    twin = keys[1:] // 2 == keys[:-1] // 2
    alone = ~(np.append(twin, False) | np.append(False, twin)) if len(keys) else twin
    phrase, text = np.divmod(keys[alone], size)
    return _Level(
        [name for name, keep in zip(names, often.tolist(), strict=True) if keep],
        at,
        number[phrase],
        text // 2,
        1 - 2 * (text % 2),
    )


def _told(levels: list[_Level], least: int) -> Signs:
    """The phrases of all levels that tell at least so many pairs apart."""
    names: list[str] = []
    feature, pair, sign = [], [], []
    for level in levels:
        enough = np.bincount(level.phrase, minlength=len(level.names)) >= least
        number = np.cumsum(enough) - 1 + len(names)
        kept = enough[level.phrase]
        feature.append(number[level.phrase[kept]])
        pair.append(level.pair[kept])
        sign.append(level.sign[kept])
        names += [name for name, keep in zip(level.names, enough.tolist(), strict=True) if keep]
    return Signs(
        names,
        ["n-gram"] * len(names),
        np.concatenate(feature),
        np.concatenate(pair),
        np.concatenate(sign),
    )
