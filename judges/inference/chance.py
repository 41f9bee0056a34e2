"""What tells a find from chance: held-out prompts, a sign test, the false discovery rate."""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from judges.calibration.estimates import FloatArray, Groups, IntArray, group_numbers
from judges.errors import DataError

Masks = npt.NDArray[np.bool_]
LEAST_GROUPS = 10


def part_pairs(groups: Groups, n: int, *, held_out: float, seed: int) -> Masks:
    """Which pairs are held out: whole prompts, as many as come nearest to the share. → (n,).

    Raises: DataError for too few prompts to test anything on.
    """
    numbers = group_numbers(groups, n)
    count = int(numbers.max(initial=-1)) + 1
    if count < LEAST_GROUPS:
        raise DataError(
            f"preferences on {count} prompts; principles are tested on prompts they were not "
            f"chosen on, which needs {LEAST_GROUPS} or more; where few prompts have many pairs, "
            "`--grouped-by pair` tests on other pairs"
        )
    order = np.random.default_rng(seed).permutation(count)
    chosen = np.zeros(count, dtype=bool)
    chosen[order[: min(count - 5, max(1, round(held_out * count)))]] = True
    return np.asarray(chosen[numbers])


def covered(row: FloatArray, relevant_from: float) -> Masks:
    """The pairs that a candidate speaks about: its logit is not 0, and far enough from it."""
    size = np.abs(np.nan_to_num(row, nan=0.0))
    return np.asarray((size > 0) & (size >= relevant_from))


def sign_test(
    row: FloatArray, y: FloatArray, groups: IntArray, relevant_from: float = 0.0
) -> float:
    """Chance of at least so many prompts on the candidate's side, if each were a coin toss.

    A prompt's pairs count as one, by their majority: they are no independent evidence.
    """
    telling = covered(row, relevant_from)
    if not telling.any():
        return 1.0
    side = np.sign(row[telling]) * np.sign(y[telling] - 0.5)
    lead = np.bincount(groups[telling], weights=side)
    won, lost = int((lead > 0).sum()), int((lead < 0).sum())
    return float(min(1.0, binom.sf(won - 1, won + lost, 0.5)))


def discoveries(p_values: npt.ArrayLike, rate: float) -> Masks:
    """Which p-values are discoveries at this false discovery rate. Shapes: (C,) → (C,).

    Source: Benjamini and Hochberg 1995.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not len(p):
        return np.zeros(0, dtype=bool)
    ordered = np.sort(p)
    under = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / len(p))
    return np.asarray(p <= ordered[under[-1]] if len(under) else np.zeros(len(p), dtype=bool))
