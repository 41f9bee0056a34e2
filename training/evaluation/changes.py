"""A mean before and after training, and the difference on the same prompts."""

from collections.abc import Sequence

import numpy as np

from judges.calibration.estimates import Estimate, mean_estimate, share_estimate
from judges.records import Record

Rows = Sequence[Sequence[float]]
"""A prompt a row, a value for each of its completions."""


class Change(Record):
    """A mean over two policies' completions of the same prompts."""

    before: Estimate
    """Of the earlier policy; n counts values."""
    after: Estimate
    """Of the later one."""
    difference: Estimate
    """After less before, prompt by prompt; n counts prompts."""


def paired_change(before: Rows, after: Rows, seed: int, *, share: bool = False) -> Change | None:
    """The change over the prompts with values on both sides; None where there is none.

    `share` says that values are 0 or 1: then the ends have Wilson intervals, else all are by
    bootstrap over prompts. The difference weighs prompts alike, however many values they have.
    """
    both = [(old, new) for old, new in zip(before, after, strict=True) if old and new]
    if not both:
        return None
    gaps = [float(np.mean(new) - np.mean(old)) for old, new in both]
    return Change(
        before=_pooled([old for old, _ in both], seed, share),
        after=_pooled([new for _, new in both], seed, share),
        difference=mean_estimate(np.array(gaps), seed=seed),
    )


def _pooled(rows: Rows, seed: int, share: bool) -> Estimate:
    values = np.array([value for row in rows for value in row], float)
    groups = [number for number, row in enumerate(rows) for _ in row]
    return share_estimate(values, groups) if share else mean_estimate(values, groups, seed=seed)
