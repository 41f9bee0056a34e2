"""What pairs are taken to stand for: a whole run as it is, or a run of which a sample was judged.

Every statistic here is a function of totals over pairs, so that both answer the same questions: a
whole run with intervals for other prompts like these, a sample with intervals for the run itself.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.special import stdtrit

from judges.aggregate import Bools, Floats
from judges.calibration.estimates import Estimate, IntArray, group_sums
from judges.diagnostics.column_estimates import (
    column_estimates,
    difference_estimates,
    mean_estimates,
    ratio,
    share_of,
)
from judges.intervals import Z_95, wilson


class Population(Protocol):
    """What can be said of the pairs that some stand for."""

    def share(self, successes: Bools | Floats, among: Bools) -> Estimate | None:
        """The share of successes among some pairs; None of none."""

    def means(self, values_BC: Floats) -> list[Estimate | None]:
        """Each column's mean over its known values."""

    def differences(self, change_BC: Floats) -> list[Estimate | None]:
        """The mean change of shares, each pair's within [-1, 1]."""

    def kappa(self, side_B: Floats, label_B: Floats) -> Estimate | None:
        """Cohen's kappa of two columns of sides; None where one never varies."""

    def count(self, which: Bools) -> int:
        """How many pairs they stand for."""


class WholeRun:
    """A run all of whose pairs are known; intervals are for other prompts like these."""

    def __init__(self, group_B: IntArray, seed: int) -> None:
        self.group_B, self.seed = group_B, seed

    def share(self, successes: Bools | Floats, among: Bools) -> Estimate | None:
        """Wilson's, by the effective number of prompts."""
        return share_of(successes, among, self.group_B)

    def means(self, values_BC: Floats) -> list[Estimate | None]:
        """Intervals from resampled prompts."""
        return mean_estimates(values_BC, self.group_B, seed=self.seed)

    def differences(self, change_BC: Floats) -> list[Estimate | None]:
        """Intervals from resampled prompts."""
        return difference_estimates(change_BC, self.group_B, seed=self.seed)

    def kappa(self, side_B: Floats, label_B: Floats) -> Estimate | None:
        """Intervals from resampled prompts."""
        columns, n = _kappa_columns(side_B, label_B)
        return column_estimates(columns, _kappa, np.array([n]), self.group_B, seed=self.seed)[0]

    def count(self, which: Bools) -> int:
        """As many as there are."""
        return int(which.sum())


class StratifiedSample:
    """Pairs of prompts sampled from the strata of a run; intervals are for that run.

    Totals are weighted by stratum; variances are those of the linearised statistic within strata,
    with the finite-population correction. A stratum in which nothing varied may still vary in what
    was not seen: half an event more is granted it. Source: Cochran 1977, sections 5A.2 and 6.11;
    Korn and Graubard 1998 for the effective number behind Wilson's interval.
    """

    def __init__(self, stratum_U: IntArray, taken: IntArray, unit_B: IntArray) -> None:
        """The stratum of each prompt of the run, those judged, and each pair's place in them."""
        self.unit_B = unit_B
        stratum_S, size_H = _merged(stratum_U, taken)
        self.stratum_S, self.size_H = stratum_S, size_H
        self.taken_H = np.bincount(stratum_S, minlength=len(size_H))
        self.weight_S: Floats = np.asarray((size_H / self.taken_H)[stratum_S], float)
        rest_H = 1 - self.taken_H / size_H
        self.factor_H = size_H.astype(float) ** 2 * rest_H / self.taken_H
        self.freedom = max(1, len(taken) - len(size_H))

    def share(self, successes: Bools | Floats, among: Bools) -> Estimate | None:
        """Wilson's, by the effective number of pairs."""
        if not among.any():
            return None
        total_S = self._sums(np.column_stack([np.where(among, successes, 0.0), among * 1.0]))
        above, below = self.weight_S @ total_S
        share = float(above / below)
        deviation_S = (total_S[:, 0] - share * total_S[:, 1]) / below
        held_H = self._means(total_S)
        smooth_H = (held_H[:, 0] * self.taken_H + 0.5) / (held_H[:, 1] * self.taken_H + 1)
        floor_H = smooth_H * (1 - smooth_H) * (held_H[:, 1] / below) ** 2
        variance = float(self.factor_H @ np.maximum(self._spread(deviation_S), floor_H))
        held = float(np.average(smooth_H, weights=self.size_H * held_H[:, 1]))
        n = int(among.sum())
        if variance == 0:  # every prompt of the run was judged
            return Estimate(value=share, low=share, high=share, n=n)
        effective = held * (1 - held) / variance * (Z_95 / self._quantile) ** 2
        low, high = wilson(share * effective, effective)
        return Estimate(value=share, low=min(low, share), high=max(high, share), n=n)

    def means(self, values_BC: Floats) -> list[Estimate | None]:
        """Symmetric intervals, by Student's t."""
        known = ~np.isnan(values_BC)
        columns, width = np.hstack([np.where(known, values_BC, 0.0), known * 1.0]), known.shape[1]
        return self._columns(
            columns, lambda totals: ratio(totals[..., :width], totals[..., width:]), known.sum(0)
        )

    def differences(self, change_BC: Floats) -> list[Estimate | None]:
        """Means; where no pair changed, as wide as the share of changed pairs may be."""
        found = self.means(change_BC)
        for column, one in enumerate(found):
            known = ~np.isnan(change_BC[:, column])
            changed = self.share(np.nan_to_num(np.abs(change_BC[:, column])), known)
            if one is not None and changed is not None and not changed.value:
                found[column] = one.model_copy(update={"low": -changed.high, "high": changed.high})
        return found

    def kappa(self, side_B: Floats, label_B: Floats) -> Estimate | None:
        """Linearised, by Student's t."""
        columns, n = _kappa_columns(side_B, label_B)
        return self._columns(columns, _kappa, np.array([n]))[0] if n else None

    def count(self, which: Bools) -> int:
        """How many of the run's pairs they stand for."""
        held_S = self._sums(np.asarray(which[:, None], float))[:, 0]
        return round(float((self.weight_S * held_S).sum()))

    def _columns(
        self, columns_BK: Floats, statistic: Callable[[Floats], Floats], counts_C: IntArray
    ) -> list[Estimate | None]:
        total_SK = self._sums(columns_BK)
        total_K = np.asarray(self.weight_S @ total_SK, float)
        value_C = statistic(total_K)
        step_K = 1e-5 * np.maximum(np.abs(total_K), 1.0)
        moved = np.diag(step_K)
        slope_KC = (statistic(total_K + moved) - statistic(total_K - moved)) / (2 * step_K[:, None])
        found: list[Estimate | None] = []
        for c, (value, n) in enumerate(zip(value_C.tolist(), counts_C.tolist(), strict=True)):
            variance = float(self.factor_H @ self._spread(total_SK @ slope_KC[:, c]))
            half = self._quantile * variance**0.5
            known = np.isfinite(value) and np.isfinite(half)
            told = (
                Estimate(value=value, low=value - half, high=value + half, n=n) if known else None
            )
            found.append(told)
        return found

    @property
    def _quantile(self) -> float:
        return float(stdtrit(self.freedom, 0.975))

    def _sums(self, columns_BK: Floats) -> Floats:
        sums = np.zeros((len(self.stratum_S), columns_BK.shape[1]))
        np.add.at(sums, self.unit_B, columns_BK)
        return sums

    def _means(self, values_SK: Floats) -> Floats:
        return group_sums(values_SK, self.stratum_S) / self.taken_H[:, None]

    def _spread(self, values_S: Floats) -> Floats:
        """Variance within each stratum; 0 where one prompt is all that was taken."""
        centred = values_S - self._means(values_S[:, None])[self.stratum_S, 0]
        squares = group_sums((centred**2)[:, None], self.stratum_S)[:, 0]
        return np.asarray(squares / np.maximum(1, self.taken_H - 1))


def _merged(stratum_U: IntArray, taken: IntArray) -> tuple[IntArray, IntArray]:
    """Strata of the prompts judged, and their sizes; one with a single prompt joins a neighbour."""
    size_H = np.bincount(stratum_U)
    taken_H = np.bincount(stratum_U[taken], minlength=len(size_H))
    group_H = np.zeros(len(size_H), np.int64)
    group, held, whole = 0, 0, 0
    for h, (count, size) in enumerate(zip(taken_H.tolist(), size_H.tolist(), strict=True)):
        group_H[h] = group
        held, whole = held + count, whole + size
        if held >= min(2, whole) and held:
            group, held, whole = group + 1, 0, 0
    if whole and group:  # what is left at the end joins the last whole one
        group_H[group_H == group] = group - 1
    merged = np.bincount(group_H, weights=size_H).astype(np.int64)
    return group_H[stratum_U[taken]], merged


def _kappa_columns(side_B: Floats, label_B: Floats) -> tuple[Floats, int]:
    known = ~np.isnan(side_B) & ~np.isnan(label_B)
    columns = [known & (side_B == label_B), known]
    for values in (side_B, label_B):
        columns += [known & (values == side) for side in (0.0, 0.5, 1.0)]
    return np.column_stack(columns) * 1.0, int(known.sum())


def _kappa(totals: Floats) -> Floats:
    """Cohen 1960, of totals: agreements, pairs, then how often each names each side."""
    share = ratio(totals, np.broadcast_to(totals[..., 1:2], totals.shape))
    chance = (share[..., 2:5] * share[..., 5:8]).sum(-1)
    return ratio((share[..., 0] - chance)[..., None], (1 - chance)[..., None])
