"""Planted opinion groups come out, and no group outvotes another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.collective.consensus import (
    ConsensusSettings,
    find_consensus,
    measure_consensus,
    opinion_groups,
)
from judges.errors import DataError

TEXTBOOK = np.array(
    # for the many, a bridge, half and half, seen by few
    [[1, 1, 1, 1]] * 3 + [[1, 1, -1, np.nan]] * 2 + [[1, 0, -1, np.nan]]
    + [[-1, 1, 1, np.nan]] * 2 + [[-1, 1, -1, np.nan]]
)  # fmt: skip
GROUPS = np.array([0] * 6 + [1] * 3)
NAMES = ("many", "bridge", "half", "few")


def two_camps(seed: int, sizes: tuple[int, int] = (30, 12)) -> tuple[np.ndarray, np.ndarray]:
    """Two camps that differ on eight statements of twelve, a tenth of the votes unseen."""
    rng = np.random.default_rng(seed)
    camp = np.repeat([0, 1], sizes)
    lean = np.where(camp[:, None] == 0, 0.97, 0.03) * np.ones((1, 12))
    lean[:, 8:] = 0.95
    votes = np.where(rng.random(lean.shape) < lean, 1.0, -1.0)
    votes[rng.random(lean.shape) < 0.1] = np.nan
    return votes, camp


def test_the_textbook_product_over_groups() -> None:
    found = measure_consensus(NAMES, TEXTBOOK, GROUPS)
    consensus = {one.statement: one.consensus for one in found.statements}
    assert consensus["many"] == pytest.approx(7 / 8 * 1 / 5)
    assert consensus["bridge"] == pytest.approx(6 / 8 * 4 / 5)
    assert consensus["half"] == pytest.approx(4 / 8 * 3 / 5)
    assert consensus["few"] == pytest.approx(4 / 5 * 1 / 2), "nobody of a group saw it: a half"
    assert [one.statement for one in found.statements] == ["bridge", "few", "half", "many"]
    by_name = {one.statement: one for one in found.statements}
    many, half = by_name["many"], by_name["half"]
    assert many.overall.share and half.overall.share
    assert many.overall.share.value > half.overall.share.value, "the majority alone says otherwise"
    bridge = by_name["bridge"]
    assert (bridge.overall.agree, bridge.overall.disagree, bridge.overall.n) == (8, 0, 9)
    assert [group.n for group in bridge.groups] == [6, 3]
    assert bridge.per_group.value == pytest.approx(np.sqrt(0.6))
    assert bridge.per_group.low <= bridge.per_group.value <= bridge.per_group.high
    assert by_name["few"].groups[1].share is None


@pytest.mark.parametrize("seed", range(5))
def test_planted_camps_are_found_and_the_larger_is_first(seed: int) -> None:
    votes, camp = two_camps(seed)
    group, silhouette = opinion_groups(votes, ConsensusSettings())
    placed = group >= 0
    assert placed.sum() >= 38
    assert (group[placed] == camp[placed]).mean() >= 0.95
    assert silhouette and silhouette > 0.5


def test_the_order_of_participants_changes_no_figure() -> None:
    votes, _ = two_camps(1)
    names = tuple(f"s{k}" for k in range(12))
    one = find_consensus(names, votes)
    two = find_consensus(names, votes[::-1])
    assert one.sizes == two.sizes
    assert [(s.statement, s.consensus) for s in one.statements] == [
        (s.statement, s.consensus) for s in two.statements
    ]
    assert one == find_consensus(names, votes), "and the same seed gives the same"


def test_shared_statements_rank_first() -> None:
    votes, _ = two_camps(2)
    found = find_consensus(tuple(f"s{k}" for k in range(12)), votes)
    assert {one.statement for one in found.statements[:4]} == {"s8", "s9", "s10", "s11"}


def test_people_of_one_mind_are_one_group() -> None:
    found = find_consensus(("a", "b"), np.ones((20, 2)))
    assert (found.sizes, found.silhouette) == ((20,), None)
    assert found.statements[0].consensus == pytest.approx(21 / 22)


def test_who_votes_little_counts_overall_only() -> None:
    votes = np.ones((20, 10))
    votes[0, 1:] = np.nan
    found = find_consensus(tuple("abcdefghij"), votes)
    assert (found.ungrouped, found.sizes) == (1, (19,))
    first = next(one for one in found.statements if one.statement == "a")
    assert (first.overall.n, first.groups[0].n) == (20, 19)
    with pytest.raises(DataError, match="no participant has 7 votes"):
        find_consensus(tuple("abcdefghij"), votes[:1])


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_consensus_is_the_product_of_its_groups(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    votes = rng.choice([1.0, 0.0, -1.0, np.nan], size=(12, 3))
    of = np.concatenate([np.arange(groups), rng.integers(-1, groups, 12 - groups)])
    for one in measure_consensus(("a", "b", "c"), votes, of).statements:
        assert one.consensus == pytest.approx(np.prod([g.smoothed for g in one.groups]))
        assert 0 < one.consensus < 1
        assert one.per_group.value**groups == pytest.approx(one.consensus)
