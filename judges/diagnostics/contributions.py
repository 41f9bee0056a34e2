"""What each principle puts into each verdict: its share of the logit that decided."""

import numpy as np

from judges.aggregate import SCOPE_FLOOR, Floats, Scheme
from judges.diagnostics.pair_votes import PairVerdicts, PairVotes


def contributions(votes: PairVotes, verdicts: PairVerdicts, scheme: Scheme) -> Floats:
    """What each principle adds to the deciding logit: w·a·ℓ / Σ w·a within the deciding tier.

    Over principles they sum to the verdict's logit. 0 for a principle of another tier, or without
    a vote; NaN where the pair is unscored. Shapes: (B, P).
    """
    applies = np.where(votes.applies_BP < SCOPE_FLOOR, 0.0, np.nan_to_num(votes.applies_BP))
    tier_B1 = verdicts.tier_B[:, None]
    speaks = (tier_B1 == -1) | (scheme.tier_P == tier_B1)
    held = np.where(~np.isnan(votes.logit_BP) & speaks, scheme.weight_P * applies, 0.0)
    total = held.sum(1, keepdims=True)
    logit = held * np.nan_to_num(votes.logit_BP)
    added = np.divide(logit, total, out=np.zeros_like(logit), where=total > 0)
    return np.where(verdicts.scored_B[:, None], added, np.nan)


def shares(contribution_BP: Floats) -> Floats:
    """Each principle's part of all that was put in, for or against: 0 to 1, summing to 1.

    0 where nothing was put in; NaN where unscored. Shapes: (B, P) → (B, P).
    """
    size = np.abs(contribution_BP)
    total = size.sum(1, keepdims=True)
    return np.asarray(np.divide(size, total, out=size * 0.0, where=total > 0))


def certainty(votes: PairVotes) -> Floats:
    """|2p - 1| of each principle alone where it is active, else NaN. Shapes: (B, P)."""
    return np.where(votes.active_BP, np.abs(np.tanh(votes.logit_BP / 2)), np.nan)
