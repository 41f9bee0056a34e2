"""Contributions are what verdicts are made of: they sum to the deciding logit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from judges.aggregate import Floats, Scheme
from judges.diagnostics.contributions import contributions, shares
from judges.diagnostics.pair_votes import PairVotes, decide

LOGITS = st.floats(-6, 6) | st.just(float("nan"))


def made_votes(logit_BP: Floats, applies_BP: Floats | None = None) -> PairVotes:
    """Votes on so many pairs, each of a prompt of its own."""
    count, width = logit_BP.shape
    return PairVotes(
        names=tuple(f"p{k}" for k in range(width)),
        logit_BP=logit_BP,
        applies_BP=np.ones(logit_BP.shape) if applies_BP is None else applies_BP,
        gap_RP=np.full((count, width), np.nan),
        ranking_B=np.arange(count),
        side_B2=np.tile([0, 1], (count, 1)),
        group_R=np.arange(count),
    )


def made_scheme(width: int, tiers: tuple[int, ...] = ()) -> Scheme:
    """Weights 1, 2, …; tiers as given, else all normal."""
    return Scheme(
        tier_P=np.array(tiers or (2,) * width),
        weight_P=np.arange(1, width + 1).astype(np.float64),
        tie_margin=0.05,
        decisive=1.0,
        abstain_below=0.0,
        min_weight=0.5,
    )


@given(
    arrays(float, (5, 4), elements=LOGITS),
    arrays(float, (5, 4), elements=st.floats(0, 1)),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_contributions_sum_to_the_verdicts_logit(
    logit_BP: Floats, applies_BP: Floats, tiers: tuple[int, ...]
) -> None:
    votes, scheme = made_votes(logit_BP, applies_BP), made_scheme(4, tiers)
    verdicts = decide(votes, scheme)
    p_B = 1 / (1 + np.exp(-contributions(votes, verdicts, scheme).sum(1)))
    np.testing.assert_allclose(p_B, verdicts.p_B, atol=2e-6)


def test_only_the_deciding_tier_contributes() -> None:
    votes = made_votes(np.array([[3.0, -2.0], [0.5, -2.0]]))
    scheme = made_scheme(2, (0, 2))
    added = contributions(votes, decide(votes, scheme), scheme)
    np.testing.assert_allclose(added, [[3.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(shares(added), [[1, 0], [0, 1]])


def test_shares_count_what_speaks_against_too() -> None:
    votes = made_votes(np.array([[2.0, -0.5]]))
    scheme = made_scheme(2)
    np.testing.assert_allclose(
        shares(contributions(votes, decide(votes, scheme), scheme)), [[2 / 3, 1 / 3]]
    )
