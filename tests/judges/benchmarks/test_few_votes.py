"""The benchmark of few votes, small: its arms are fair, and it can tell a gain from none."""

import json
from typing import Any

import numpy as np
import pytest

from judges.benchmarks.few_votes import (
    as_table,
    benchmark_few_votes,
    estimate,
    kendall,
    rank_seen,
    simulate_judge,
)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return benchmark_few_votes(items=200, seed=1, noises=(1.0,))


def test_telling_pairs_beat_random_ones_at_equal_votes(result: dict[str, Any]) -> None:
    row = next(row for row in result["rows"] if row["votes"] == 24)
    mean, low, high, n = row["active_minus_random"]
    assert 0 < low < mean < high
    assert n == 200
    assert row["tau_to_truth"]["all"][0] > row["tau_to_truth"]["active"][0]


def test_at_the_ring_both_arms_are_the_same(result: dict[str, Any]) -> None:
    first = [row for row in result["rows"] if row["pairs"] == 8]
    assert len(first) == 1
    assert all(row["active_minus_random"][:3] == [0, 0, 0] for row in first)
    assert all(row["cycles"]["active"][0] == 0 for row in first)  # a ring of 8 has no triple


def test_it_is_the_same_again_and_can_be_written(result: dict[str, Any]) -> None:
    one, other = (benchmark_few_votes(items=10, seed=2, noises=(0.3,)) for _ in range(2))
    assert json.dumps(one) == json.dumps(other)
    assert len(as_table(result).splitlines()) == 1 + len(result["rows"]) + len(result["stops"])


def test_a_bias_for_a_place_cancels_and_unranked_agrees_with_nothing() -> None:
    truth = np.random.default_rng(0).normal(size=(5, 8))
    p_RNN = simulate_judge(truth, 0.0, np.random.default_rng(0))
    everything = np.broadcast_to(~np.eye(8, dtype=bool), p_RNN.shape)
    scores, cycles = rank_seen(p_RNN, everything)
    assert kendall(scores, truth) == pytest.approx(1)
    assert cycles.sum() == 0
    one_pair = np.zeros_like(everything)
    one_pair[:, 0, 1] = one_pair[:, 1, 0] = True
    assert kendall(rank_seen(p_RNN, one_pair)[0], truth) == pytest.approx(1 / 28)


def test_an_estimate_of_nothing_has_no_number() -> None:
    assert estimate(np.array([]))[3] == 0
    assert np.isnan(estimate(np.array([]))[0])
    assert estimate(np.array([1.0, 3.0])) == pytest.approx([2, 0.04, 3.96, 2], abs=0.01)
