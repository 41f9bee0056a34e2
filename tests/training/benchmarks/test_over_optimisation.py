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


def test_a_flawed_reward_gains_while_the_truth_falls_and_an_ensemble_softens_it() -> None:
    pool = make_pool(fake_items(40, 64), load_constitution("plain-speech@1"))
    found = benchmark_over_optimisation(pool, members=3, pairs=200, flaw=12.0, seeds=1)
    one = found["seeds"][0]["rewards"]["one"]
    proxy = [point["proxy"]["value"] for point in one["points"]]
    truth = [point["truth"]["value"] for point in one["points"]]
    assert proxy == sorted(proxy)
    assert max(truth) > truth[-1]
    assert one["points"][-1]["kl"] == pytest.approx(np.log(64) - 63 / 64)
    # The held-out model, of yet another labeller, is fooled by the same texts: it rises on.
    assert (one["truth_falls_at"], one["held_out_falls_at"]) == (8, None)
    assert one["points"][-1]["held_out"]["value"] > 0.1
    # Of what several labellers like together it thinks ever less, and says so at once.
    mean = found["seeds"][0]["rewards"]["ensemble, mean"]
    assert (mean["truth_falls_at"], mean["held_out_falls_at"]) == (None, 2)
    chance = found["seeds"][0]["rewards"]["chance"]
    assert (chance["truth_falls_at"], chance["held_out_falls_at"]) == (None, None)
    softened = found["seeds"][0]["softened"]["ensemble, mean"]
    assert softened["value"] == pytest.approx(mean["points"][-1]["truth"]["value"] - truth[-1])
    assert softened["low"] > 0
    assert found["over_seeds"]["one"]["stopped_by_truth"]["value"] == 1
    assert found["over_seeds"]["ensemble, mean"]["stopped_by_held_out"]["value"] == 1
    assert found["over_seeds"]["ensemble, mean"]["end_over_one"]["value"] == softened["value"]


def test_too_few_completions_are_refused() -> None:
    with pytest.raises(DataError, match="has 4 completions"):
        make_pool(fake_items(2, 4), load_constitution("plain-speech@1"))
