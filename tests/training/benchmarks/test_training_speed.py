"""Speed beside TRL: what is counted, and both sides trained on a tiny policy."""

from pathlib import Path

import pytest

from judges.errors import ConfigError
from tests.training.tiny_policy import make_policy
from training.benchmarks.training_speed import Timed, benchmark_training_speed, summary

SMALL = {"shape": None, "rows": 6, "tokens": 8, "batch": 2, "steps": 3, "repeats": 1}


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    ours = [Timed(600, 2.0, 3.0, 10), Timed(600, 3.0, 3.5, 10), Timed(600, 6.0, 3.0, 10)]
    theirs = [Timed(600, 3.0, 4.0, 10), Timed(600, 6.0, 4.0, 10), Timed(600, 6.0, 4.0, 10)]
    told = summary({"charter": ours, "trl": theirs}, ceiling=120_000)
    assert (told["times_faster"], told["range"], told["n"]) == (1.5, [1.0, 2.0], 3)
    assert told["charter"]["tokens_per_second"] == 200
    assert told["charter"]["share_of_ceiling"] == pytest.approx(6 * 10 * 200 / 120_000)
    assert told["charter"]["peak_gib"] == 3.5


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"methods": ["dpi"]}, r"--methods dpi: .*did you mean 'dpo'.*use sft, reward, dpo"),
        ({"steps": 2}, "--steps is 2, but the first 2 warm up"),
        ({"rows": 1}, r"--rows is 1, less than one batch \(2\)"),
        ({"shape": "17b"}, r"--shape 17b: .*use 135m, 360m, 1\.7b"),
    ],
)
def test_what_cannot_be_measured_is_refused(changed: dict[str, object], told: str) -> None:
    asked = {"methods": ["sft"], "model": "embedded", **SMALL, **changed}
    with pytest.raises(ConfigError, match=told):
        benchmark_training_speed(**asked)  # type: ignore[arg-type]


@pytest.mark.slow
def test_both_sides_train_on_the_same_tokens(tmp_path: Path) -> None:
    model = str(make_policy(tmp_path / "policy"))
    told = benchmark_training_speed(["sft", "reward", "dpo"], model, **SMALL)  # type: ignore[arg-type]
    assert told["methods"].keys() == {"sft", "reward", "dpo"}
    for one in told["methods"].values():
        assert one["charter"]["tokens"] == one["trl"]["tokens"] > 0
        assert one["charter"]["tokens_per_second"] > 0
        assert 0 < one["charter"]["share_of_ceiling"] < 1
