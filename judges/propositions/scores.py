"""Scores as functions of four totals, so that resampling prompts costs one matrix product.

The totals: items, items that are true, items said to be, and both.
"""

from collections.abc import Callable

import numpy as np

from judges.calibration.estimates import FloatArray

Score = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""From n, true, said yes and said yes rightly, each a total, to a number; NaN where undefined."""


def accuracy_score(
    n: FloatArray, true: FloatArray, said: FloatArray, both: FloatArray
) -> FloatArray:
    """The share right."""
    return _over(n - true - said + 2 * both, n)


def f1_score(n: FloatArray, true: FloatArray, said: FloatArray, both: FloatArray) -> FloatArray:
    """F1 of yes; NaN where nothing is true."""
    return np.asarray(np.where((true > 0) & (n > 0), _over(2 * both, true + said), np.nan))


def _null_scores(rate_of: Callable[[FloatArray], FloatArray]) -> tuple[Score, Score]:
    """Accuracy and F1 of saying yes at a rate without looking, from expected counts."""

    def scored_by(score: Score) -> Score:
        def null_score(
            n: FloatArray, true: FloatArray, _said: FloatArray, _both: FloatArray
        ) -> FloatArray:
            rate = rate_of(_over(true, n))
            return score(n, true, rate * n, rate * true)

        return null_score

    return scored_by(accuracy_score), scored_by(f1_score)


NULLS: dict[str, tuple[Score, Score]] = {
    "always_yes": _null_scores(np.ones_like),
    "always_no": _null_scores(np.zeros_like),
    "base_rate_coin": _null_scores(lambda base_rate: base_rate),
    "random": _null_scores(lambda base_rate: np.full_like(base_rate, 0.5)),
}


def accuracy_gain(
    n: FloatArray, true: FloatArray, said: FloatArray, both: FloatArray
) -> FloatArray:
    """The share right minus that of the better of always yes and always no."""
    best = np.maximum(_over(true, n), 1 - _over(true, n))
    return np.asarray(accuracy_score(n, true, said, both) - best)


def f1_gain(n: FloatArray, true: FloatArray, said: FloatArray, both: FloatArray) -> FloatArray:
    """F1 minus that of always yes."""
    return np.asarray(f1_score(n, true, said, both) - NULLS["always_yes"][1](n, true, said, both))


def _over(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    empty = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=empty, where=denominator > 0))


def mean_of(score: Score) -> Callable[[FloatArray], FloatArray]:
    """A statistic of totals (…, F·4): the mean of a score over the statements that have it."""

    def mean(totals: FloatArray) -> FloatArray:
        of_statement = totals.reshape(*totals.shape[:-1], -1, 4)
        values = score(*np.moveaxis(of_statement, -1, 0))
        there = ~np.isnan(values)
        return _over(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1))

    return mean
