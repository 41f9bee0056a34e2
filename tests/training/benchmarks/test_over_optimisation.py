"""Best of n without sampling, and a demonstration in which the guard stops a hacked reward."""

import itertools

import numpy as np
import pytest

from judges.constitutions.files import load_constitution
from judges.errors import DataError
from training.benchmarks.over_optimisation import (
    benchmark_over_optimisation,
    best_of_n,
    fake_items,
    make_pool,
)


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_best_of_n_is_the_mean_over_all_draws(n: int) -> None:
    rng = np.random.default_rng(n)
    by, value = rng.normal(size=(2, 3, 6))
    draws = list(itertools.combinations(range(6), n))
    wanted = [
        np.mean([value[p, draw[int(by[p, list(draw)].argmax())]] for draw in draws])
        for p in range(3)
    ]
    assert best_of_n(by, value, n) == pytest.approx(wanted)


def test_a_flawed_reward_gains_while_the_truth_falls_and_the_guard_says_so() -> None:
    pool = make_pool(fake_items(40, 64), load_constitution("plain-speech@1"))
    found = benchmark_over_optimisation(pool, members=3, pairs=200, flaw=12.0, seeds=1)
    one = found["seeds"][0]["rewards"]["one"]
    proxy = [point["proxy"]["value"] for point in one["points"]]
    truth = [point["truth"]["value"] for point in one["points"]]
    assert proxy == sorted(proxy)
    assert max(truth) > truth[-1]
    assert one["points"][-1]["kl"] == pytest.approx(np.log(64) - 63 / 64)
    assert one["truth_falls_at"] in (2, 4, 8, 16, 32, 64)


def test_too_few_completions_are_refused() -> None:
    with pytest.raises(DataError, match="has 4 completions"):
        make_pool(fake_items(2, 4), load_constitution("plain-speech@1"))
