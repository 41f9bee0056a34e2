"""Many statistics at once, all on the same resampled prompts: one draw serves every column."""

from collections.abc import Callable

import numpy as np

from judges.aggregate import Bools, Floats
from judges.calibration.estimates import (
    Estimate,
    IntArray,
    resampled_sums,
    share_estimate,
)

BUNDLES = 2000
"""Beyond so many prompts, they are bundled at random and bundles resampled: quick, no wider.
Source: random groups, Wolter 2007, chapter 2."""


def column_estimates(
    columns_BK: Floats,
    statistic: Callable[[Floats], Floats],
    counts_C: IntArray,
    group_B: IntArray,
    *,
    seed: int,
) -> list[Estimate | None]:
    """Statistics of column totals with percentile intervals over resampled groups.

    `statistic` maps totals (…, K) to numbers (…, C); where it is undefined there is no estimate.
    `counts_C` is each one's n. Source: as `judges.calibration.estimates.bootstrap_estimate`.
    """
    if not len(columns_BK):
        return [None] * len(counts_C)
    value_C = statistic(columns_BK.sum(0))
    draws_SC = statistic(resampled_sums(columns_BK, _bundled(group_B, seed), seed))
    estimates: list[Estimate | None] = []
    for value, draws, n in zip(value_C.tolist(), draws_SC.T, counts_C.tolist(), strict=True):
        if not np.isfinite(value):
            estimates.append(None)
            continue
        low, high = np.quantile(np.append(draws[np.isfinite(draws)], value), (0.025, 0.975))
        estimates.append(Estimate(value=value, low=float(low), high=float(high), n=n))
    return [one and _holding(one) for one in estimates]


def _bundled(group_B: IntArray, seed: int) -> IntArray:
    """Numbers of the groups from 0 up, or of so many bundles of them."""
    groups, number_B = np.unique(group_B, return_inverse=True)
    if len(groups) <= BUNDLES:
        return np.asarray(number_B)
    return np.asarray(np.random.default_rng(seed).permutation(len(groups))[number_B] % BUNDLES)


def ratio_estimates(
    above_BC: Floats, below_BC: Floats, group_B: IntArray, *, seed: int
) -> list[Estimate | None]:
    """Σ above / Σ below of each column; None where nothing is below."""
    width = above_BC.shape[1]
    return column_estimates(
        np.hstack([above_BC, below_BC]),
        lambda totals: ratio(totals[..., :width], totals[..., width:]),
        np.count_nonzero(below_BC, axis=0),
        group_B,
        seed=seed,
    )


def mean_estimates(values_BC: Floats, group_B: IntArray, *, seed: int) -> list[Estimate | None]:
    """The mean of each column over its known values; None where all are NaN."""
    known = ~np.isnan(values_BC)
    return ratio_estimates(np.where(known, values_BC, 0.0), known * 1.0, group_B, seed=seed)


def difference_estimates(
    change_BC: Floats, group_B: IntArray, *, seed: int
) -> list[Estimate | None]:
    """The mean change of shares, each pair's within [-1, 1], over the known pairs of each column.

    Where no pair changed, resamples cannot vary either: the interval is then as wide as the share
    of changed pairs could be, by Wilson.
    """
    found = mean_estimates(change_BC, group_B, seed=seed)
    for column, one in enumerate(found):
        known = ~np.isnan(change_BC[:, column])
        if one is not None and not change_BC[known, column].any():
            changed = share_of(np.zeros(len(known)), known, group_B)
            most = changed.high if changed else 1.0
            found[column] = one.model_copy(update={"low": -most, "high": most})
    return found


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, NaN where below is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def share_of(successes: Bools | Floats, among: Bools, group_B: IntArray) -> Estimate | None:
    """The share of successes among some pairs, Wilson by the effective number; None of none."""
    if not among.any():
        return None
    groups = group_B[among]
    alone = len(np.unique(groups)) == len(groups)
    return share_estimate(successes[among].astype(float), None if alone else groups.tolist())


def _holding(one: Estimate) -> Estimate:
    """The estimate, its interval widened to hold the value."""
    return one.model_copy(update={"low": min(one.low, one.value), "high": max(one.high, one.value)})
