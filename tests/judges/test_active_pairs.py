"""The choice of pairs: connected, deterministic, within budget, better than chance, stops."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.active_pairs import (
    Bools,
    Pair,
    Stop,
    budget_of,
    doubt_of,
    next_pairs,
    opening_pairs,
    posterior_of,
    round_size,
)
from judges.aggregate import Floats, largest_component, sigmoid

SIZES = st.integers(2, 12)
SEEDS = st.integers(0, 2**64 - 1)
NEVER = Stop(doubt=0.0)


def marked(size: int, *pairs_of_each: list[Pair]) -> Bools:
    """Which pairs are asked in each tournament."""
    asked = np.zeros((len(pairs_of_each), size, size), bool)
    for row, pairs in enumerate(pairs_of_each):
        for i, j in pairs:
            asked[row, i, j] = asked[row, j, i] = True
    return asked


def judged(strength_RN: Floats, noise: float = 0.0, seed: int = 0) -> Floats:
    """A judge's p on every pair."""
    error = noise * np.random.default_rng(seed).normal(
        size=(*strength_RN.shape, len(strength_RN.T))
    )
    gap = strength_RN[:, :, None] - strength_RN[:, None, :]
    return sigmoid(gap + np.triu(error, 1) - np.triu(error, 1).swapaxes(1, 2))


def played(p_NN: Floats, budget: int, seed: int, stop: Stop = NEVER) -> list[list[Pair]]:
    """All rounds of one tournament."""
    size = len(p_NN)
    rounds = [opening_pairs(size, budget, seed, "active")]
    while True:
        asked = marked(size, [pair for pairs in rounds for pair in pairs])
        (more,) = next_pairs(p_NN[None], asked, budget, stop)
        if not more:
            return rounds
        rounds.append(more)


@given(SIZES, SEEDS, st.none() | st.integers(1, 70), st.sampled_from(["active", "random"]))
def test_the_opening_connects_all_within_the_budget(
    size: int, seed: int, wanted: int | None, mode: str
) -> None:
    budget = budget_of(size, wanted)
    pairs = opening_pairs(size, budget, seed, "active" if mode == "active" else "random")
    assert len(set(pairs)) == len(pairs) <= budget
    assert set(pairs) <= set(combinations(range(size), 2))
    assert largest_component(marked(size, pairs)).all()
    assert pairs == opening_pairs(size, budget, seed, "active" if mode == "active" else "random")
    if budget == size * (size - 1) // 2 or mode == "random":
        assert len(pairs) == budget


def test_a_ring_is_regular_and_another_seed_is_another_ring() -> None:
    rings = [opening_pairs(9, 14, seed, "active") for seed in range(20)]
    assert all((marked(9, ring)[0].sum(0) == 2).all() for ring in rings)
    assert len(set(map(tuple, rings))) == 20


@pytest.mark.parametrize(
    ("size", "wanted", "budget"),
    [
        pytest.param(8, None, 12, id="half again as many by default"),
        pytest.param(4, None, 6, id="four completions are cheap: all pairs"),
        pytest.param(3, None, 3, id="no more than there are"),
        pytest.param(8, 2, 7, id="enough to connect them"),
        pytest.param(8, 100, 28, id="a budget for all pairs"),
        pytest.param(1, None, 0, id="one completion"),
        pytest.param(0, None, 0, id="none"),
    ],
)
def test_a_budget_lies_between_connected_and_all(
    size: int, wanted: int | None, budget: int
) -> None:
    assert max(0, budget_of(size, wanted)) == budget


@given(st.integers(5, 9), SEEDS, st.integers(0, 100))
def test_rounds_ask_new_pairs_only_and_end_at_the_budget(size: int, seed: int, of: int) -> None:
    p_NN = judged(np.random.default_rng(of).normal(size=(1, size)), 0.5, of)[0]
    budget = budget_of(size, None)
    rounds = played(p_NN, budget, seed)
    asked = [pair for pairs in rounds for pair in pairs]
    assert len(set(asked)) == len(asked) == budget
    assert all(len(pairs) <= round_size(size) for pairs in rounds[1:])


def test_what_is_asked_hangs_on_nothing_but_the_answers_to_what_was_asked() -> None:
    p_RNN = judged(np.random.default_rng(1).normal(size=(40, 8)), 0.5)
    asked = marked(8, *(opening_pairs(8, 12, seed, "active") for seed in range(40)))
    together = next_pairs(p_RNN, asked, 12)
    assert together == next_pairs(np.where(asked, p_RNN, np.nan), asked, 12)
    alone = [next_pairs(p_RNN[[k]], asked[[k]], 12)[0] for k in range(40)]
    assert together == alone


def test_equal_completions_are_told_apart_by_nothing_and_end_at_the_budget() -> None:
    assert sum(map(len, played(np.full((8, 8), 0.5), 12, 3))) == 12


def test_the_pair_that_is_open_is_asked_before_those_that_are_clear() -> None:
    strength = np.array([[6.0, 3.0, 0.0, 0.05, -3.0, -6.0]])
    chain = [(0, 1), (1, 2), (1, 3), (2, 4), (4, 5), (0, 5)]
    (pairs,) = next_pairs(judged(strength, 0.3), marked(6, chain), 9)
    assert pairs[0] == (2, 3)


def test_for_the_best_only_pairs_that_may_hold_it_are_asked() -> None:
    strength = np.array([[5.0, 4.9, 0.0, 0.02, -4.0, -4.02]])
    p_RNN, ring = judged(strength, 0.3), marked(6, [(0, 2), (2, 4), (4, 1), (1, 3), (3, 5), (5, 0)])
    assert next_pairs(p_RNN, ring, 9, Stop("best"))[0][0] == (0, 1)


def test_noise_is_read_from_contradictions() -> None:
    strength = np.random.default_rng(0).normal(0, 2, (500, 8))
    everything = np.broadcast_to(~np.eye(8, dtype=bool), (500, 8, 8))
    found = [
        float(np.median(posterior_of(judged(strength, noise), everything).noise_R) ** 0.5)
        for noise in (0.3, 1.0)
    ]
    assert found == pytest.approx([0.3, 1.0], rel=0.2)


def test_a_scale_does_not_change_what_is_asked() -> None:
    strength = np.random.default_rng(0).normal(size=(1, 8))
    bold = judged(strength, 0.0)
    timid = sigmoid(np.log(bold / (1 - bold)) / 10)
    assert played(bold[0], 12, 5) == played(timid[0], 12, 5)


def test_stops_when_settled_and_not_before() -> None:
    clear = judged(np.linspace(-7, 7, 8)[None])[0]
    assert sum(map(len, played(clear, 20, 0, Stop()))) < 20
    close = judged(np.array([[4, 3.99, 2, 1.99, 0, -0.01, -2, -2.01]]), 0.5)[0]
    assert sum(map(len, played(close, 12, 0, Stop()))) == 12
    leader = judged(np.array([[9.0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]), 0.1)[0]
    assert len(played(leader, 12, 0, Stop("best"))) == 1
    assert len(played(leader, 12, 0, Stop("order"))) > 1


def test_a_tie_needs_no_order() -> None:
    tied = judged(np.array([[6.0, 3.0, 0.0, 0.0, -3.0]]))
    posterior = posterior_of(tied, ~np.eye(5, dtype=bool)[None])
    assert doubt_of(posterior, Stop(tie_margin=0.4))[0] < 0.05 < doubt_of(posterior, Stop())[0]


def test_doubt_tells_how_often_the_best_is_wrong() -> None:
    strength = np.random.default_rng(2).normal(0, 2, (600, 6))
    p_RNN = judged(strength, 0.5)
    asked = marked(6, *(opening_pairs(6, 9, seed, "random") for seed in range(600)))
    posterior = posterior_of(p_RNN, asked)
    wrong = posterior.mean_RN.argmax(1) != strength.argmax(1)
    assert wrong.mean() <= doubt_of(posterior, Stop("best")).mean() < 3 * wrong.mean() + 0.05


def test_a_completion_that_gets_no_verdict_is_left_alone() -> None:
    p_RNN = judged(np.random.default_rng(0).normal(size=(1, 8)), 1.0)
    p_RNN[:, 3] = p_RNN[:, :, 3] = np.nan
    rounds = played(p_RNN[0], 20, 1)
    asked = [pair for pairs in rounds for pair in pairs]
    assert sum(3 in pair for pair in asked) <= 4
    assert len(asked) == 20
