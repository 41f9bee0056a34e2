"""Has a measure fallen below where it stood before? A test that may be made at every look.

Whoever compares the latest value with the best so far compares it with a number that luck helped
to be the best, and does so again and again. Here the latest look is compared with every earlier
one at once, on the same items, and the level is shared among all looks: with looks planned
beforehand, the chance of ever crying "fallen" while nothing has fallen is at most the level given.
"""

import numpy as np

from judges.calibration.estimates import Estimate, FloatArray, mean_estimate
from judges.errors import DataError
from judges.records import Probability, Record

FEWEST_FLIPS = 9_999
FLIPS_AT_ONCE = 4_000_000


class Fall(Record):
    """How the latest look compares with all earlier ones."""

    best: int
    """The earlier look with the highest mean, from 0."""
    p: Probability
    """Chance of so large a fall from some earlier look, were there none that matters: all looks
    compared at once."""
    level: Probability
    """The p at or under which it counts as fallen: the whole level over the looks planned."""
    drop: Estimate
    """Mean of the best look less the latest's, on items measured in both."""

    @property
    def shown(self) -> bool:
        """Whether the measure has fallen, at the level shared among all looks."""
        return self.p <= self.level


def fall_from_earlier(
    values_TN: FloatArray,
    planned: int,
    level: float = 0.05,
    seed: int = 0,
    *,
    more_than: float = 0.0,
) -> Fall | None:
    """Whether the last of some looks at the same items lies under an earlier one.

    One-sided: the largest studentised mean difference to an earlier look, against its
    distribution when the differences of each item change sign together. Exact where differences
    are symmetric about zero, else for many items. An item that lacks a value (NaN) in one of two
    looks is in no comparison of these. A fall of `more_than` or less does not matter: with items
    enough any difference can be shown. None for a first look, or where nothing can be compared.
    Shapes: looks T, items N; `planned` counts the looks that there will be after the first.
    Cost: 20 / (level / planned) sign flips at most, a matrix product.
    Raises: DataError for a level that is none.
    Source: Romano and Wolf 2005, section 4 (maxima over hypotheses); Bonferroni over looks.
    """
    if not 0 < level < 1:
        raise DataError(f"level is {level}; use one between 0 and 1, such as 0.05")
    gap_SN = values_TN[:-1] - values_TN[-1]
    compared_S = np.isfinite(gap_SN).any(axis=1)
    if not compared_S.any():
        return None
    each = level / max(1, planned)
    means_S = [float(np.nanmean(row)) if some else -np.inf for row, some in
               zip(values_TN[:-1], compared_S, strict=True)]  # fmt: skip
    best = int(np.argmax(means_S))
    gaps = gap_SN[best][np.isfinite(gap_SN[best])]
    return Fall(
        best=best,
        p=_chance(np.nan_to_num(gap_SN[compared_S] - more_than), round(20 / each), seed),
        level=each,
        drop=mean_estimate(gaps, seed=seed),
    )


def _chance(gap_SN: FloatArray, flips: int, seed: int) -> float:
    """The share of sign flips with a maximum as large as the one seen, that one included."""
    size_S = np.sqrt((gap_SN**2).sum(axis=1))
    told = size_S > 0
    if not told.any():
        return 1.0
    unit_NS = (gap_SN[told] / size_S[told, None]).T
    seen = unit_NS.sum(axis=0).max() - 1e-9
    flips, reached = max(FEWEST_FLIPS, min(flips, 1_000_000)), 0
    rng = np.random.default_rng(seed)
    part = max(1, FLIPS_AT_ONCE // len(unit_NS))
    for start in range(0, flips, part):
        shape = (min(part, flips - start), len(unit_NS))
        signs = rng.integers(0, 2, shape, dtype=np.int8).astype(np.float32) * 2 - 1
        reached += int(((signs @ unit_NS.astype(np.float32)).max(axis=1) >= seen).sum())
    return (reached + 1) / (flips + 1)
