"""Online methods side by side: curves read at equal KL, and the whole benchmark on a tiny model."""

from pathlib import Path
from typing import Any

import pytest

from judges.jsonl import read_jsonl
from tests.training.tiny_policy import make_policy
from training.benchmarks.online_curves import at_equal_kl, read_curve, summarise


def point(method: str, step: int, kl: float, reward: float, seed: int = 0) -> dict[str, Any]:
    return {
        "method": method, "seed": seed, "step": step, "prompts": ["p", "q"], "kl": [kl, kl],
        "wins": [0.5, 0.5], "reward": [reward, reward], "sane": [1.0, 1.0],
        "samples": 10 * step, "seconds": float(step),
    }  # fmt: skip


CURVE = [point("base", 0, 0.0, 0.2), point("ppo", 4, 1.0, 0.4), point("ppo", 8, 3.0, 0.8)]


def test_a_curve_is_read_between_two_points() -> None:
    read = read_curve(CURVE, 2.0)
    assert read is not None
    assert read["reward"] == pytest.approx([0.6, 0.6])
    assert (read["samples"], read["seconds"]) == (60, 6)
    assert read_curve(CURVE, 0.5)["reward"] == pytest.approx([0.3, 0.3])  # type: ignore[index]


def test_a_curve_that_does_not_reach_a_kl_is_not_read_there() -> None:
    assert read_curve(CURVE, 3.5) is None


def test_a_method_is_compared_where_it_gets_under_every_seed() -> None:
    other = [point("base", 0, 0.0, 0.2, 1), point("ppo", 4, 1.5, 0.4, 1)]
    table = at_equal_kl([*CURVE, *other], (1.0, 2.0))
    assert table["1 nats"]["ppo"]["runs"] == 2
    assert table["1 nats"]["ppo"]["n"] == 4
    assert table["2 nats"] == {}


@pytest.mark.slow
def test_every_method_gives_its_points_and_done_runs_are_not_done_again(tmp_path: Path) -> None:
    from training.benchmarks.online_methods import METHODS, benchmark_online_methods

    model = str(make_policy(tmp_path / "model"))
    out = tmp_path / "out"
    names = list(METHODS)
    told = benchmark_online_methods(out, names, 1, 2, 1, 5e-2, model)
    found = {(row["method"], row["step"]) for row in told["points"]}
    best = {("best-of-n", n) for n in (2, 4, 8)}
    assert found == {("base", 0), *((name, 2) for name in names)} | best
    rewards = {
        row["step"]: row["reward"][0] for row in told["points"] if row["method"] not in names
    }
    assert rewards[2] <= rewards[4] <= rewards[8]
    for _, line in read_jsonl(out / "results.jsonl"):
        if line["method"] in names:  # an adapter that is not put on has KL 0 exactly
            assert sum(line["kl"]) > 1e-5, line["method"]
    before = (out / "results.jsonl").read_bytes()
    again = benchmark_online_methods(out, names, 1, 2, 1, 5e-2, model)
    assert again == told and (out / "results.jsonl").read_bytes() == before
    assert summarise([])["points"] == []
