"""Whole online DPO runs on a tiny policy: they learn, resume exactly, and wait for their judge."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import tests.training.ppo.tiny_run as rewards
from judges.errors import VerdictError
from tests.training.ppo.tiny_run import metrics, shared_values, silent
from tests.training.tiny_policy import make_policy
from training.online.waiting import RewardAway
from training.online_dpo.online_dpo import train_online_dpo
from training.online_dpo.recipe import OnlineDpoRecipe


def make_recipe(folder: Path, model: Path, reward: str = "count_e", **changes: Any) -> Any:
    values: dict[str, Any] = {
        **shared_values(folder, model, reward),
        "prompts_per_step": 6,
        "optimisation": {"learning_rate": 1e-2, "minibatches": 2},
        "label_scale": 0.1,
        "missing_eos_penalty": 0.0,
    }
    return OnlineDpoRecipe.model_validate({**values, **changes})


def test_a_pair_needs_two_completions(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="samples_per_prompt"):
        make_recipe(tmp_path, tmp_path, samples_per_prompt=1)
    with pytest.raises(ValidationError, match="no value model"):
        make_recipe(tmp_path, tmp_path, optimisation={"value_learning_rate": 1e-3})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


@pytest.mark.slow
def test_a_reward_that_is_no_number_stops_before_anything_moves(
    tmp_path: Path, model: Path
) -> None:
    recipe = make_recipe(tmp_path, model, "nothing_but_nan")
    with pytest.raises(VerdictError, match="is nan for 24 of 24 completions"):
        train_online_dpo(recipe, message=silent)
    assert not (recipe.output / "metrics.jsonl").exists()


@pytest.mark.slow
def test_mean_reward_rises_on_a_trivial_reward(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(
        tmp_path,
        model,
        "letters",
        lora=None,  # the random model's own logits are so flat that adapters cannot bend them
        steps=14,
        prompts_per_step=12,
        rollout={"max_tokens": 3},
        optimisation={"learning_rate": 1e-2, "decay": False, "epochs": 2},
        beta=0.05,
    )
    summary = train_online_dpo(recipe, message=silent)
    lines = metrics(recipe)
    told = [line["reward"] for line in lines]
    assert sum(told[-3:]) / 3 > sum(told[:3]) / 3 + 0.2
    assert summary.last_kl is not None and summary.last_kl > 0.1
    assert lines[0]["loss"] < 0.7 and lines[-1]["rewards/accuracies"] > 0.5
    assert all(one["pairs"] + one["pairs_equal"] + one["pairs_lacking"] == 12 for one in lines)


@pytest.mark.slow
def test_killed_run_goes_on_with_the_same_losses_and_weights(tmp_path: Path, model: Path) -> None:
    unbroken = make_recipe(tmp_path, model, output=tmp_path / "unbroken")
    train_online_dpo(unbroken, message=silent)
    broken = make_recipe(tmp_path, model)
    code = (
        "import os, sys\n"
        "from training.online_dpo.online_dpo import OnlineDpoRecipe, train_online_dpo\n"
        "def kill(step, total, loss):\n"
        "    if step == 3: os.kill(os.getpid(), 9)\n"
        "train_online_dpo(OnlineDpoRecipe.model_validate_json(sys.argv[1]), progress=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, broken.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    train_online_dpo(broken, resume=True, message=silent)
    assert metrics(broken) == metrics(unbroken)
    weights = "adapter_model.safetensors"
    assert (broken.output / weights).read_bytes() == (unbroken.output / weights).read_bytes()


@pytest.mark.slow
def test_a_judge_that_goes_away_leaves_a_checkpoint_of_the_last_step(
    tmp_path: Path, model: Path
) -> None:
    unbroken = make_recipe(tmp_path, model, output=tmp_path / "unbroken")
    train_online_dpo(unbroken, message=silent)
    rewards.SWITCH = tmp_path / "away"
    recipe = make_recipe(tmp_path, model, "while_there_is_no_switch")
    said: list[str] = []

    def watch(step: int, _total: int, _loss: float) -> None:
        if step == 3:
            rewards.SWITCH.touch()

    with pytest.raises(RewardAway, match=r"24 of 24 completions .* --resume"):
        train_online_dpo(recipe, progress=watch, message=said.append)
    assert sum("asked again in" in text for text in said) >= 2
    assert (recipe.output / "checkpoints" / "checkpoint-3").exists()
    rewards.SWITCH.unlink()
    train_online_dpo(recipe, resume=True, message=silent)
    assert metrics(recipe) == metrics(unbroken)


@pytest.mark.slow
def test_what_never_ends_loses_to_what_ends(tmp_path: Path, model: Path) -> None:
    told = []
    for penalty in (0.0, 1.0):
        recipe = make_recipe(
            tmp_path,
            model,
            "constant",
            output=tmp_path / f"penalty-{penalty}",
            steps=1,
            prompts_per_step=12,
            samples_per_prompt=16,
            rollout={"max_tokens": 24},
            missing_eos_penalty=penalty,
        )
        train_online_dpo(recipe, message=silent)
        told.append(metrics(recipe)[0])
    assert 0 < told[0]["finished"] < 1
    assert [line["pairs"] > 0 for line in told] == [False, True]


@pytest.mark.slow
def test_the_unscored_are_in_no_pair_and_a_constant_reward_moves_nothing(
    tmp_path: Path, model: Path
) -> None:
    half = make_recipe(tmp_path, model, "half_unscored", steps=1)
    assert train_online_dpo(half, message=silent).unscored == 12
    constant = make_recipe(tmp_path, model, "constant", output=tmp_path / "same", constant_steps=3)
    with pytest.raises(VerdictError, match="the same for all completions of 3 steps"):
        train_online_dpo(constant, message=silent)
    lines = metrics(constant)
    assert [line["pairs_equal"] for line in lines] == [6.0, 6.0]
    assert lines[1]["kl"] == pytest.approx(0, abs=1e-6)  # no step was made


@pytest.mark.slow
def test_a_judge_ranks_the_completions_of_each_prompt(tmp_path: Path, model: Path) -> None:
    ranking = {"kind": "ranking", "constitution": "plain-speech@1", "judges": ["fake"]}
    recipe = make_recipe(tmp_path, model, rewards=[ranking], steps=1, label_scale=1.0)
    train_online_dpo(recipe, message=silent)
    [line] = metrics(recipe)
    assert line["pairs"] > 0 and line["gradient_norm"] > 0
    assert (recipe.output / "votes.db").exists()
