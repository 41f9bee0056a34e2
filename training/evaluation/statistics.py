"""What a set of completions looks like in numbers, each with an interval over prompts."""

import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np

from judges.errors import VerdictError
from judges.records import CompletionText, Record

RESAMPLES = 10_000
COUNTS_AT_ONCE = 2_000_000
FEWEST_WORDS = 5
LONGEST_PHRASE = 12
MOST_WORD_REPEATS = 3
MOST_PHRASE_REPEATS = 2
CLOSERS = "\"'\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK})]*_"
WORD = re.compile("[^\\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}-][^\\W_]+)*")


class Interval(Record):
    """A mean with its 95 % interval."""

    mean: float
    """The plain mean over all values."""
    low: float
    """Lower end: the 2.5th percentile of the resampled means."""
    high: float
    """Upper end: the 97.5th percentile."""


def mean_interval(
    values: Sequence[float], clusters: Sequence[str], *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """The mean of some values, with a 95 % interval by bootstrap over whole clusters.

    Values of one cluster (the completions of one prompt) are not independent, so prompts are
    drawn, not values. Passing 1, 0.5 and 0 for win, tie and loss gives a win rate. The interval
    has no width where all clusters agree. The same seed gives the same interval.
    Raises: VerdictError when there is no value: no mean is made up.
    Source: Efron and Tibshirani 1993, chapter 13 (percentile interval).
    """
    if not values:
        raise VerdictError("no value to take a mean of: nothing was scored; look at the failures")
    sums, sizes = _by_cluster(values, clusters)
    means = np.concatenate(list(_resampled_means(sums, sizes, seed, resamples)))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean=float(sums.sum() / sizes.sum()), low=float(low), high=float(high))


def _by_cluster(values: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster names")
    # In order of first appearance: renaming prompts must not change the draw.
    rows = {name: row for row, name in enumerate(dict.fromkeys(clusters))}
    row_of = np.array([rows[name] for name in clusters])
    sums = np.bincount(row_of, weights=np.asarray(values, dtype=np.float64))
    return sums, np.bincount(row_of).astype(np.float64)


def _resampled_means(
    sums: np.ndarray, sizes: np.ndarray, seed: int, resamples: int
) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    clusters = len(sums)
    chances = np.full(clusters, 1 / clusters)
    step = max(1, COUNTS_AT_ONCE // clusters)
    for start in range(0, resamples, step):
        drawn = generator.multinomial(clusters, chances, size=min(step, resamples - start))
        yield (drawn @ sums) / (drawn @ sizes)


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct word n-grams over all word n-grams, case folded: 1 never repeats, 0 has none.

    It falls as text grows, so compare only sets of about equal length.
    Source: Li et al. 2016, arXiv:1510.03055, section 5.
    """
    grams = [gram for text in texts for gram in word_grams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def sane(completion: CompletionText) -> bool:
    """Whether a completion reads as something finished, right or wrong.

    That is: not cut off, five words or more, ending in . ! or ? (a closing quote or bracket may
    follow), and stuck in no loop: no word four times in a row, no longer phrase three times.
    It guards against a policy that wins by saying next to nothing, or by saying it for ever.
    """
    if completion.finish_reason == "length":
        return False
    words = _words(completion.text)
    ends_well = completion.text.rstrip().rstrip(CLOSERS).endswith((".", "!", "?"))
    return len(words) >= FEWEST_WORDS and ends_well and not _is_stuck(words)


def _is_stuck(words: Sequence[str]) -> bool:
    for length in range(1, LONGEST_PHRASE + 1):
        most = MOST_WORD_REPEATS if length == 1 else MOST_PHRASE_REPEATS
        # Repeated k times in a row, a phrase of m words makes (k - 1)·m words equal those m before.
        needed = most * length
        same = (a == b for a, b in zip(words, words[length:], strict=False))
        runs = (sum(1 for _ in run) for equal, run in itertools.groupby(same) if equal)
        if any(run >= needed for run in runs):
            return True
    return False


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def word_grams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    """Each run of n words of a text, case folded, punctuation passed over."""
    words = _words(text)
    return zip(*(words[start:] for start in range(n)), strict=False)
