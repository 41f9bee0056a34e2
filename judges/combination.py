"""Several judges as one: what each judge's logits go through, and how they are combined.

A judge that left, or lacks a vote, is NaN and weighs nothing: the others decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from judges.adjustment import Adjustment
from judges.aggregate import Floats
from judges.calibration.panel import Stacker
from judges.errors import DataError
from judges.store.vote_store import VoteStore


@dataclass(frozen=True)
class Combination:
    """A panel's arithmetic."""

    kind: Literal["mean", "majority", "stacker"]
    adjustments: tuple[Adjustment | None, ...]
    stacker: Stacker | None = None

    def combine(self, logit_JX: Floats) -> Floats:
        """One logit of many judges', each adjusted first; NaN where none voted.

        Majority: the share of judges on one side with half a vote added to each, so that a
        unanimous panel is not certain. Shapes: (J, …) → (…).
        """
        adjusted = [
            logit if change is None else change.apply(logit)
            for logit, change in zip(logit_JX, self.adjustments, strict=True)
        ]
        if self.kind == "mean":
            return adjusted[0] if len(adjusted) == 1 else mean_of_known(np.stack(adjusted))
        stacked = np.stack(adjusted)
        if self.stacker is not None:
            flat = self.stacker.apply(stacked.reshape(len(stacked), -1))
            return np.asarray(flat.reshape(stacked.shape[1:]))
        known = ~np.isnan(stacked)
        count = known.sum(0)
        first = np.where(known, np.where(stacked == 0, 0.5, stacked > 0), 0.0).sum(0)
        p = (first + 0.5) / (count + 1)
        return np.where(count > 0, np.log(p) - np.log1p(-p), np.nan)


def mean_of_known(values_JX: Floats) -> Floats:
    """The mean over the first axis of what is no NaN; NaN where all are. (J, …) → (…)"""
    if len(values_JX) == 1:
        return np.asarray(values_JX[0])
    count = (~np.isnan(values_JX)).sum(0)
    none = np.full(values_JX.shape[1:], np.nan)
    return np.asarray(np.divide(np.nansum(values_JX, 0), count, out=none, where=count > 0))


def panel_of(
    name: str, adjustments: Sequence[str | None], judges: int, store: VoteStore
) -> Combination:
    """The arithmetic that a ranking's settings name, its numbers read from the store's texts.

    Raises: DataError when the store lacks them.
    """
    named = tuple(adjustments) or (None,) * judges
    fitted = [] if name in ("mean", "majority") else [name]
    wanted = [digest for digest in (*named, *fitted) if digest is not None]
    bodies = store.texts(wanted) if wanted else {}
    for digest in wanted:
        if bodies.get(digest) is None:
            raise DataError(
                f"{store.where}: lacks the calibration or panel {digest}; rank again with "
                "the same judges, or merge the store that the rankings were made with"
            )
    changes = tuple(
        None if digest is None else Adjustment.model_validate_json(bodies[digest] or "")
        for digest in named
    )
    if not fitted:
        return Combination("majority" if name == "majority" else "mean", changes)
    return Combination("stacker", changes, Stacker.model_validate_json(bodies[name] or ""))
