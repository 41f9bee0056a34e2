"""GRPO and RLOO with our rewards: they learn, leave out what is unscored, and resume."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import tests.training.ppo.tiny_run as rewards
from judges.errors import VerdictError
from tests.training.ppo.tiny_run import make_prompts
from tests.training.tiny_policy import make_policy
from training.online.group_methods import (
    GrpoRecipe,
    RlooRecipe,
    part_weights,
    train_grpo,
    train_rloo,
)
from training.online.waiting import RewardAway


def make_recipe(folder: Path, model: Path, kind: type[Any], **changes: Any) -> Any:
    values: dict[str, Any] = {
        "model": str(model),
        "prompts": make_prompts(folder / "prompts.jsonl"),
        "output": folder / "run",
        "device": "cpu",
        "max_length": 64,
        "rewards": [{"kind": "python", "function": "tests.training.ppo.tiny_run:letters"}],
        "patience": {"longest_s": 0.2, "first_wait_s": 0.05},
    }
    trainer = {
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 16,
        "num_generations": 8,
        "max_completion_length": 4,
        "learning_rate": 2e-2,
        "lr_scheduler_type": "constant",
        "bf16": False,
    }
    trainer |= changes.pop("trainer", {})
    return kind.model_validate({**values, **changes, "trainer": trainer})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


def silent(text: str) -> None:
    assert text


def metrics(recipe: Any) -> list[dict[str, Any]]:
    lines = (recipe.output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_grpo_raises_a_trivial_reward(tmp_path: Path, model: Path) -> None:
    whole = make_recipe(
        tmp_path, model, GrpoRecipe, output=tmp_path / "whole", trainer={"max_steps": 12}
    )
    summary = train_grpo(whole, message=silent)
    rewards = [line["reward"] for line in metrics(whole)]
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.3
    assert summary.last_reward == rewards[-1]
    assert (whole.output / "model.safetensors").exists()


def switching_on_after_step_3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the rewards of `tiny_run` that heed its switch fail from then on."""
    monkeypatch.setattr(rewards, "SWITCH", folder / "away")

    def watch(step: int, _total: int, _loss: float) -> None:
        if step == 3:
            rewards.SWITCH.touch()

    return watch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "train"), [(GrpoRecipe, train_grpo), (RlooRecipe, train_rloo)], ids=["grpo", "rloo"]
)
@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        pytest.param("while_there_is_no_switch", RewardAway, "--resume", id="away"),
        pytest.param("no_number_under_the_switch", VerdictError, "is nan for 16 of 16", id="nan"),
    ],
)
def test_a_reward_that_fails_leaves_the_last_step_and_the_run_goes_on_the_same(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, train: Any,
    function: str, error: type[Exception], match: str,
) -> None:  # fmt: skip
    watch = switching_on_after_step_3(tmp_path, monkeypatch)
    python = [{"kind": "python", "function": f"tests.training.ppo.tiny_run:{function}"}]
    unbroken = make_recipe(tmp_path, model, kind, rewards=python, output=tmp_path / "unbroken")
    train(unbroken, message=silent)
    recipe = make_recipe(tmp_path, model, kind, rewards=python)
    said: list[str] = []
    with pytest.raises(error, match=match):
        train(recipe, progress=watch, message=said.append)
    assert any("asked again in" in text for text in said) == (error is RewardAway)
    assert (recipe.output / "checkpoints" / "checkpoint-3").exists()
    rewards.SWITCH.unlink()
    summary = train(recipe, resume=True, message=silent)
    assert summary.steps == 4
    assert told(recipe) == told(unbroken)


@pytest.mark.slow
def test_a_look_that_fails_loses_no_step(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = switching_on_after_step_3(tmp_path, monkeypatch)
    function = "tests.training.ppo.tiny_run:while_there_is_no_switch"
    guard = {
        "prompts": str(make_prompts(tmp_path / "heldout.jsonl")), "every": 4, "max_tokens": 4,
        "held_out": [{"kind": "python", "function": function}],
        "patience": {"longest_s": 0.2, "first_wait_s": 0.05},
    }  # fmt: skip
    steps = {"max_steps": 6, "save_steps": 6}
    unbroken = make_recipe(
        tmp_path, model, GrpoRecipe, guard=guard, trainer=steps, output=tmp_path / "unbroken"
    )
    train_grpo(unbroken, message=silent)
    recipe = make_recipe(tmp_path, model, GrpoRecipe, guard=guard, trainer=steps)
    with pytest.raises(RewardAway):
        train_grpo(recipe, progress=watch, message=silent)
    assert (recipe.output / "checkpoints" / "checkpoint-4").exists()
    rewards.SWITCH.unlink()
    train_grpo(recipe, resume=True, message=silent)

    def later(one: Any) -> list[Any]:
        lines = [line for line in metrics(one) if line["step"] > 4]
        return [(line["step"], line.get("loss"), line.get("reward")) for line in lines]

    assert later(recipe) == later(unbroken)


def told(recipe: Any) -> list[dict[str, Any]]:
    """What the steps reported, less what a clock says."""
    return [
        {name: value for name, value in line.items() if name != "step_time"}
        for line in metrics(recipe)
    ]


@pytest.mark.slow
def test_a_slow_judge_is_a_judge_that_is_away(tmp_path: Path, model: Path) -> None:
    function = "tests.training.ppo.tiny_run:slow"
    patience = {"longest_s": 0.2, "first_wait_s": 0.05, "call_s": 0.1}
    recipe = make_recipe(
        tmp_path, model, GrpoRecipe, patience=patience,
        rewards=[{"kind": "python", "function": function}],
    )  # fmt: skip
    with pytest.raises(RewardAway, match="no answer within"):
        train_grpo(recipe, message=silent)
    assert not (recipe.output / "metrics.jsonl").exists() or metrics(recipe) == []


@pytest.mark.slow
def test_the_unscored_move_nothing_and_are_counted(tmp_path: Path, model: Path) -> None:
    function = "tests.training.ppo.tiny_run:half_unscored"
    recipe = make_recipe(
        tmp_path, model, GrpoRecipe, rewards=[{"kind": "python", "function": function}],
        trainer={"max_steps": 2},
    )  # fmt: skip
    assert train_grpo(recipe, message=silent).unscored == 16
    assert [line["unscored"] for line in metrics(recipe)] == [8, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    ],
    ids=["Dr. GRPO", "DAPO", "GSPO"],
)
def test_what_the_readme_names_reaches_trl(
    tmp_path: Path, model: Path, settings: dict[str, Any]
) -> None:
    import torch

    # Two updates of one draw, so that ratios are not all 1.
    steps = {"max_steps": 2, "save_steps": 2, "num_iterations": 2, "beta": 0.1}
    recipe = make_recipe(tmp_path, model, GrpoRecipe, trainer=steps | settings)
    train_grpo(recipe, message=silent)
    file = recipe.output / "checkpoints/checkpoint-2/training_args.bin"
    used = torch.load(file, weights_only=False)
    assert {name: getattr(used, name) for name in settings} == settings
    lines = metrics(recipe)
    assert all(math.isfinite(line["loss"]) for line in lines) and lines[-1]["grad_norm"] > 0


@pytest.mark.slow
def test_a_judge_rewards_each_completion(tmp_path: Path, model: Path) -> None:
    judge = {"kind": "judge", "constitution": "plain-speech@1", "judges": ["fake"]}
    recipe = make_recipe(
        tmp_path, model, GrpoRecipe, rewards=[judge], separate=True,
        trainer={"max_steps": 1, "save_steps": 1},
    )  # fmt: skip
    summary = train_grpo(recipe, message=silent)
    [line] = metrics(recipe)
    assert {"rewards/everyday-words/mean", "rewards/brevity/mean"} <= line.keys()
    assert 0 < line["rewards/everyday-words/mean"] < 1 and line["grad_norm"] > 0
    assert summary.unscored < 16 and (recipe.output / "votes.db").exists()


def test_parts_have_the_weights_of_their_principles() -> None:
    recipe = {"kind": "rules", "constitution": "plain-speech@1"}
    [settings] = GrpoRecipe.model_validate(
        {"model": "m", "output": "o", "prompts": "p", "rewards": [recipe], "separate": True}
    ).rewards
    weights = part_weights([settings])
    assert weights["brevity"] == 4.0
    assert "everyday-words" not in weights  # judged, not checked


def test_a_reward_without_parts_cannot_be_separate() -> None:
    python = {"kind": "python", "function": "a:b"}
    with pytest.raises(ValueError, match='kind "python" has no parts'):
        GrpoRecipe.model_validate(
            {"model": "m", "output": "o", "prompts": "p", "rewards": [python], "separate": True}
        )


def test_a_single_reward_with_a_weight_cannot_be_separate() -> None:
    rules = {"kind": "rules", "constitution": "plain-speech@1", "weight": 2.0}
    with pytest.raises(ValueError, match="single reward with weight 2, which has nothing"):
        GrpoRecipe.model_validate(
            {"model": "m", "output": "o", "prompts": "p", "rewards": [rules], "separate": True}
        )
