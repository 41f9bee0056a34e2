"""Numbers with their n and a 95 % interval: Wilson for shares, bootstrap over groups for the rest.

Every statistic here is a function of sums over items, so that resampling prompts is one matrix
product: counts of each group drawn (resamples, groups) times the groups' sums (groups, columns).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from judges.errors import DataError
from judges.intervals import wilson
from judges.records import Record

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Groups = Sequence[Hashable] | npt.NDArray[Any] | None
RESAMPLES = 1000
DRAWN_AT_ONCE = 4_000_000


class Estimate(Record):
    """A number, its 95 % interval, and how many items it rests on."""

    value: float
    """The estimate itself."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    n: int
    """Items the estimate rests on."""


def group_numbers(groups: Groups, n: int) -> IntArray:
    """The group of each item, numbered by first appearance; each its own where none is given.

    Raises: DataError when there are not n of them.
    """
    if groups is None:
        return np.arange(n, dtype=np.int64)
    if len(groups) != n:
        raise DataError(f"{len(groups)} groups for {n} items; give one group an item")
    numbers: dict[Hashable, int] = {}
    return np.fromiter(
        (numbers.setdefault(group, len(numbers)) for group in list(groups)), np.int64, n
    )


def group_sums(columns: FloatArray, groups: IntArray) -> FloatArray:
    """The sums of each column within each group. Shapes: (n, K), (n,) → (groups, K)."""
    sums = np.zeros((int(groups.max(initial=-1)) + 1, columns.shape[1]))
    np.add.at(sums, groups, columns)
    return sums


def resampled_sums(
    columns: FloatArray, groups: IntArray, seed: int, resamples: int = RESAMPLES
) -> FloatArray:
    """The columns' totals when whole groups are drawn with replacement, once a resample.

    Shapes: (n, K), (n,) → (resamples, K).
    Source: cluster bootstrap, Davison and Hinkley 1997, section 3.8.
    """
    sums = group_sums(columns, groups)
    count = len(sums)
    rng = np.random.default_rng(seed)
    part = max(1, DRAWN_AT_ONCE // count)
    totals = []
    for start in range(0, resamples, part):
        now = min(part, resamples - start)
        drawn = rng.integers(0, count, (now, count)) + count * np.arange(now)[:, None]
        times = np.bincount(drawn.ravel(), minlength=now * count).reshape(now, count)
        totals.append(times.astype(np.float64) @ sums)
    return np.concatenate(totals)


def bootstrap_estimate(
    columns: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    groups: IntArray,
    seed: int,
) -> Estimate:
    """A statistic of column totals with its percentile interval over resampled groups.

    `statistic` maps totals (…, K) to numbers (…); resamples where it is NaN are left out. The
    interval is widened to hold the value itself. Raises: DataError when the value is undefined.
    """
    value = float(statistic(columns.sum(axis=0)))
    if not np.isfinite(value):
        raise DataError(f"a statistic of {len(columns)} items is undefined; give it more items")
    draws = statistic(resampled_sums(columns, groups, seed))
    low, high = np.quantile(np.append(draws[np.isfinite(draws)], value), (0.025, 0.975))
    return Estimate(
        value=value, low=min(value, float(low)), high=max(value, float(high)), n=len(columns)
    )


def mean_estimate(values: FloatArray, groups: Groups = None, *, seed: int) -> Estimate:
    """The mean with its interval from a bootstrap over groups. Raises: DataError when empty."""
    refuse_empty(len(values))
    columns = np.column_stack([values, np.ones(len(values))])
    return bootstrap_estimate(columns, _ratio, group_numbers(groups, len(values)), seed)


def share_estimate(successes: FloatArray, groups: Groups = None) -> Estimate:
    """A share with its Wilson interval; successes are in [0, 1], so that a tie is a half.

    Groups of several items count by their effective number, n divided by the design effect; where
    all items are alike there is none to measure, and the groups themselves are counted.
    Raises: DataError when empty. Source: Korn and Graubard 1998 for the effective number.
    """
    n = len(successes)
    refuse_empty(n)
    share = float(successes.mean())
    effective = _effective_number(successes, group_numbers(groups, n))
    low, high = wilson(share * effective, effective)
    return Estimate(value=share, low=min(low, share), high=max(high, share), n=n)


def refuse_empty(n: int) -> None:
    """Raises: DataError when nothing is scored: a number from nothing would be a guess."""
    if n == 0:
        raise DataError("no scored items with labels; label some, or look why all are unscored")


def _effective_number(successes: FloatArray, groups: IntArray) -> int:
    n, count = len(successes), int(groups.max()) + 1
    if count == n:
        return n
    share = successes.mean()
    alone = share * (1 - share) * n
    if alone == 0 or count == 1:
        return count
    residuals = group_sums((successes - share)[:, None], groups)[:, 0]
    together = float(np.sum(residuals**2)) * count / (count - 1)
    return max(1, int(n / max(1.0, together / alone)))


def _ratio(totals: FloatArray) -> FloatArray:
    return np.asarray(totals[..., 0] / totals[..., 1])
