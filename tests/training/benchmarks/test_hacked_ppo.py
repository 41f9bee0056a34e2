"""A hacked PPO run: what is read from the guard's looks, and all of it on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest

from judges.calibration.decline import fall_from_earlier
from judges.calibration.estimates import Estimate
from judges.jsonl import read_jsonl
from tests.training.tiny_policy import make_policy
from training.benchmarks.hacked_ppo import at_kl, softened, summarise
from training.guard.observation import PROXY, Observation

PROMPTS = 40
NOISE = np.random.default_rng(0).normal(0, 0.05, (10, PROMPTS))


def run_of(*truths: float, held_out: float = 0.0) -> list[Observation]:
    """A run whose proxy rises by 1 and whose KL by 2 nats a look, with these means of the truth."""
    looks: list[Observation] = []
    for step, truth in enumerate(truths):
        values = {
            PROXY: tuple(NOISE[step] + step),
            "rules": tuple(NOISE[step] + truth),
            "model": tuple(np.full(PROMPTS, held_out)),
        }
        table = np.array([*(look.values["rules"] for look in looks), values["rules"]])
        fall = fall_from_earlier(table, len(truths) - 1)
        one = Estimate(value=0.0, low=0.0, high=0.0, n=PROMPTS)
        looks.append(
            Observation(
                step=step, completions=PROMPTS, proxy=one, held_out={"model": one, "rules": one},
                kl=one.model_copy(update={"value": 2.0 * step}), words=one, sane=one,
                distinct_2=1.0, repeated=one, refused=None, variance=None, unscored={},
                falls={} if fall is None else {"rules": fall}, seconds=1.0, examples=("a",),
                values=values,
            )
        )  # fmt: skip
    return looks


HACKED, KEPT = run_of(0.5, 0.8, 0.4, 0.2), run_of(0.5, 0.7, 0.8, 0.8)


def test_a_fall_of_the_truth_ends_the_run_and_the_best_look_before_it_is_published() -> None:
    best = HACKED[1].model_copy(
        update={"held_out": {"model": HACKED[1].words.model_copy(update={"value": 1.0})}}
    )
    told = summarise([[HACKED[0], best, *HACKED[2:]]])
    assert told["ended_at"] == {"model": [None], "rules": [2]}
    assert told["published_at"] == [1]
    assert told["published"]["rules"]["value"] == pytest.approx(0.8, abs=0.03)
    assert told["published_over_last"]["rules"]["value"] == pytest.approx(0.6, abs=0.03)
    assert [look["steps"] for look in told["looks"]] == [[0], [1], [2], [3]]


def test_what_does_not_fall_is_not_ended() -> None:
    assert summarise([KEPT])["ended_at"] == {"model": [None], "rules": [None]}


def test_a_run_is_read_between_two_looks() -> None:
    read = at_kl(HACKED, 3.0)
    assert read is not None
    assert read.mean() == pytest.approx(0.6, abs=0.02)
    assert at_kl(HACKED, 7.0) is None


def test_softening_is_told_at_the_end_and_where_both_get() -> None:
    told = softened([HACKED], [KEPT])["rules"]
    assert set(told) == {"last", "1 nats", "2 nats", "4 nats"}
    assert told["last"]["value"] == pytest.approx(0.6, abs=0.03)
    assert told["2 nats"]["value"] == pytest.approx(-0.1, abs=0.03)
    assert (told["last"]["n"], told["last"]["low"] > 0.5) == (PROMPTS, True)


@pytest.mark.slow
def test_both_arms_run_on_reward_models_of_labellers_and_are_not_run_again(tmp_path: Path) -> None:
    from training.benchmarks.hacked_ppo import benchmark_hacked_ppo

    out = tmp_path / "out"
    model = str(make_policy(tmp_path / "model"))
    told = benchmark_hacked_ppo(out, 2, 50.0, 1, 2, 1, 5e-2, model)
    liked = told["liked"][0]
    assert len(set(liked)) == 3
    rows = [row for _, row in read_jsonl(out / "rewards" / "0-0.jsonl")]
    counts = [
        [row[side][0]["content"].lower().split().count(liked[0]) for side in ("chosen", "rejected")]
        for row in rows
    ]
    surer = [row["p_chosen"] for row, (a, b) in zip(rows, counts, strict=True) if a > b]
    assert surer and np.mean(surer) > 0.9  # the flaw is worth far more than any rule
    recipe = {
        arm: json.loads((out / f"{arm}-0" / "manifest.json").read_bytes())["recipe"]
        for arm in ("one", "ensemble")
    }
    used = {arm: [Path(m).name for m in r["rewards"][0]["models"]] for arm, r in recipe.items()}
    assert used == {"one": ["0-0"], "ensemble": ["0-0", "0-1"]}
    assert [Path(m).name for m in recipe["one"]["guard"]["held_out"][0]["models"]] == ["0-2"]
    for arm in told["arms"].values():
        assert [look["steps"] for look in arm["looks"]] == [[0], [2]]
        assert arm["looks"][-1]["kl"][0] > 1e-5
    before = (out / "one-0" / "guard.jsonl").read_bytes()
    assert benchmark_hacked_ppo(out, 2, 50.0, 1, 2, 1, 5e-2, model) == told
    assert (out / "one-0" / "guard.jsonl").read_bytes() == before
