"""Pairs of a step: best against worst, soft labels, and what gives none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.online_dpo.pairs import Pair, make_pairs, soft_label

REWARDS = st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=24)


@pytest.mark.parametrize(
    ("groups", "rewards", "pairs", "equal", "lacking"),
    [
        pytest.param("aaa", [0.0, 2.0, 1.0], [(1, 0)], 0, 0, id="best against worst"),
        pytest.param("abab", [0.0, 5.0, 2.0, 1.0], [(2, 0), (1, 3)], 0, 0, id="within a prompt"),
        pytest.param("aaaa", [1.0, 2.0, 2.0, 1.0], [(1, 0)], 0, 0, id="of equals the first drawn"),
        pytest.param("aab", [1.0, 1.0, 3.0], [], 1, 1, id="equal or alone gives none"),
        pytest.param("aaa", [None, 2.0, 1.0], [(1, 2)], 0, 0, id="the unscored are in no pair"),
        pytest.param("aa", [None, 2.0], [], 0, 1, id="an unscored one is no zero"),
    ],
)
def test_pairs(
    groups: str, rewards: list[float | None], pairs: list[tuple[int, int]], equal: int, lacking: int
) -> None:
    found = make_pairs(groups, rewards, 1.0, soft=True)
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == pairs
    assert (found.equal, found.lacking) == (equal, lacking)


def test_a_soft_label_is_the_odds_of_the_difference_over_the_scale() -> None:
    [pair] = make_pairs("aa", [0.2, 0.5], 0.1, soft=True).pairs
    assert (pair.chosen, pair.rejected) == (1, 0)
    assert pair.p_chosen == pytest.approx(1 / (1 + math.exp(-3)))
    assert make_pairs("aa", [0.2, 0.5], 0.1, soft=False).pairs == [Pair(1, 0, 1.0)]


@given(rewards=REWARDS, scale=st.floats(0.01, 10))
def test_every_prompt_is_a_pair_or_counted_and_labels_say_better(
    rewards: list[float | None], scale: float
) -> None:
    groups = [place % 3 for place in range(len(rewards))]
    found = make_pairs(groups, rewards, scale, soft=True)
    assert len(found.pairs) + found.equal + found.lacking == len(set(groups))
    for pair in found.pairs:
        better, worse = rewards[pair.chosen], rewards[pair.rejected]
        assert better is not None and worse is not None and better > worse
        assert 0.5 <= pair.p_chosen <= 1


@given(gap=st.floats(-1000, 1000))
def test_swapping_negates(gap: float) -> None:
    assert soft_label(gap) + soft_label(-gap) == pytest.approx(1)
