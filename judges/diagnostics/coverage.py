"""Where the constitution has nothing to say: pairs on which every principle is near one half."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from judges.aggregate import SCOPE_FLOOR, Bools, Floats
from judges.calibration.estimates import Estimate
from judges.diagnostics.column_estimates import share_of
from judges.diagnostics.pair_votes import TIE, PairVotes
from judges.records import Record


class SliceShare(Record):
    """A share in one part of the data."""

    slice: str
    """The part; empty where metadata names none."""
    share: Estimate
    """The share of its pairs."""


class Coverage(Record):
    """How much of the run no principle tells apart."""

    gaps: Estimate | None
    """Share of judged pairs on which every active principle is near one half, or none applies."""
    nothing_applies: int
    """Of these, pairs for which no principle is in scope."""
    preferred_by_people: Estimate | None
    """Share of labelled gaps on which people do prefer one side: a principle is lacking there."""
    slices: tuple[SliceShare, ...]
    """The share of gaps in each part of the data, widest gap first."""


def gap_pairs(votes: PairVotes, near: float) -> tuple[Bools, Bools]:
    """Which pairs are gaps, and which were judged at all. Shapes: (B,), (B,).

    Judged means a vote from each principle in scope: an unasked question is no gap.
    """
    active = votes.active_BP
    away = np.abs(0.5 * np.tanh(votes.logit_BP / 2)) >= near
    judged = (active | (votes.applies_BP < SCOPE_FLOOR)).all(1)
    return np.asarray(judged & ~(away & active).any(1)), np.asarray(judged)


def coverage(votes: PairVotes, label_B: Floats, slice_B: Sequence[str], *, near: float) -> Coverage:
    """The share of gaps, by part of the data, and whether people see a difference there."""
    gap, judged = gap_pairs(votes, near)
    group_B = votes.group_B
    return Coverage(
        gaps=share_of(gap, judged, group_B),
        nothing_applies=int((judged & ~votes.active_BP.any(1)).sum()),
        preferred_by_people=share_of(label_B != TIE, gap & ~np.isnan(label_B), group_B),
        slices=slice_shares(gap, judged, slice_B, partial(share_of, group_B=group_B)),
    )


def slice_shares(
    successes: Bools,
    among: Bools,
    slice_B: Sequence[str],
    share: Callable[[Bools, Bools], Estimate | None],
) -> tuple[SliceShare, ...]:
    """The share of successes in each part of the data, the largest first; none for one part."""
    parts = np.array(slice_B, dtype=object)
    names = sorted(set(slice_B))
    if len(names) < 2:
        return ()
    found = [(name, share(successes, among & (parts == name))) for name in names]
    told = [SliceShare(slice=name, share=one) for name, one in found if one is not None]
    return tuple(sorted(told, key=lambda one: (-one.share.value, one.slice)))
