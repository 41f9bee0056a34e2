"""GRPO on two processes: groups drawn again in step, and stops that neither waits through."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.launching import launch
from tests.training.ppo.tiny_run import make_prompts
from tests.training.tiny_policy import make_policy


def recipe_of(folder: Path, function: str, **settings: Any) -> Path:
    recipe = folder / "recipe.toml"
    values: dict[str, Any] = {
        "model": str(make_policy(folder / "model")),
        "prompts": str(make_prompts(folder / "prompts.jsonl")),
        "output": str(folder / "run"),
        "device": "cpu",
        "max_length": 64,
        **settings,
    }
    trainer = {
        "max_steps": 3, "save_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4,
        "max_completion_length": 4, "learning_rate": 1e-3, "bf16": False,
    }  # fmt: skip
    lines = [
        *map(_line, values.items()),
        "[[rewards]]", 'kind = "python"', f'function = "tests.training.{function}"',
        "[trainer]", *map(_line, trainer.items()),
    ]  # fmt: skip
    recipe.write_text("\n".join(lines))
    return recipe


def _line(entry: tuple[str, Any]) -> str:
    return f"{entry[0]} = {json.dumps(entry[1])}"


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_groups_are_drawn_again_where_one_process_lacks_none(tmp_path: Path) -> None:
    function = "online.test_dynamic_sampling:flat_for_early_prompts"
    done = launch("grpo", recipe_of(tmp_path, function, dynamic_sampling=6), processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert sum(line["groups/redrawn"] for line in lines) > 0
    assert [line["groups/equal"] for line in lines] == [0.0] * 3
    assert [line["frac_reward_zero_std"] for line in lines] == [0.0] * 3


@pytest.mark.slow
def test_a_constant_reward_ends_both(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "ppo.tiny_run:constant", constant_steps=2)
    done = launch("grpo", recipe, processes=2)
    assert done.returncode != 0
    assert "step 2: the reward was the same for all completions of a prompt" in done.stderr
    assert [line["step"] for line in metrics(tmp_path)] == [1]


@pytest.mark.slow
def test_the_unscored_of_all_processes_are_counted(tmp_path: Path) -> None:
    done = launch("grpo", recipe_of(tmp_path, "ppo.tiny_run:half_unscored"), processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line["unscored"] for line in metrics(tmp_path)] == [8.0] * 3
    assert json.loads((tmp_path / "run/summary.json").read_text())["unscored"] == 24
