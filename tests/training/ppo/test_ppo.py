"""Whole PPO runs on a tiny policy: they learn, resume exactly, and stop with clear words."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from judges.errors import CharterError, ConfigError, DataError, ModelError, VerdictError
from tests.training.ppo.tiny_run import make_recipe, metrics, silent
from tests.training.tiny_policy import make_policy
from training.online.waiting import RewardAway
from training.ppo.ppo import PpoLoop, train_ppo
from training.ppo.steps import train_by_steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


def test_mean_reward_rises_on_a_trivial_reward(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(
        tmp_path,
        model,
        "letters",
        lora=None,  # the random model's own logits are so flat that adapters cannot bend them
        steps=16,
        prompts_per_step=24,
        rollout={"max_tokens": 3},
        optimisation={"learning_rate": 1e-2, "decay": False, "epochs": 4},
        shaping={"missing_eos_penalty": 0.0},
        kl={"coefficient": 0.01},
    )
    seen: list[int] = []
    summary = train_ppo(recipe, progress=lambda step, *_: seen.append(step), message=silent)
    rewards = [line["reward"] for line in metrics(recipe)]
    assert seen == list(range(1, 17))
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.2
    assert summary.last_reward == rewards[-1]
    assert summary.last_kl is not None and summary.last_kl > 0.1
    assert summary.rows == 16 * 24


@pytest.mark.parametrize("whole", [False, True], ids=["adapters", "whole"])
def test_killed_run_goes_on_with_the_same_losses(tmp_path: Path, model: Path, whole: bool) -> None:
    changes: dict[str, Any] = {
        "steps": 6,
        "kl": {"coefficient": 0.05, "target": 0.05},
        "centre_rewards": True,
    }
    changes |= {"lora": None} if whole else {}
    unbroken = make_recipe(tmp_path, model, output=tmp_path / "unbroken", **changes)
    train_ppo(unbroken, message=silent)
    broken = make_recipe(tmp_path, model, **changes)
    code = (
        "import os, sys\n"
        "from training.ppo.ppo import train_ppo\n"
        "from training.ppo.recipe import PpoRecipe\n"
        "def kill(step, total, loss):\n"
        "    if step == 5: os.kill(os.getpid(), 9)\n"
        "train_ppo(PpoRecipe.model_validate_json(sys.argv[1]), progress=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, broken.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    assert len(metrics(broken)) == 5
    said: list[str] = []
    train_ppo(broken, resume=True, message=said.append)
    assert said == [f"{broken.output}: going on from the checkpoint of step 4"]
    assert metrics(broken) == metrics(unbroken)
    coefficients = [line["kl_coefficient"] for line in metrics(broken)]
    assert len(set(coefficients)) == 6  # adapted at each step, and taken up again after the kill
    weights = "model.safetensors" if whole else "adapter_model.safetensors"
    assert (broken.output / weights).read_bytes() == (unbroken.output / weights).read_bytes()
    samples = (broken.output / "samples.jsonl").read_text()
    assert samples == (unbroken.output / "samples.jsonl").read_text()


def test_a_reward_that_goes_away_leaves_a_checkpoint_and_the_run_goes_on_when_it_is_back(
    tmp_path: Path, model: Path
) -> None:
    unbroken = make_recipe(tmp_path, model, output=tmp_path / "unbroken")
    train_ppo(unbroken, message=silent)
    switch = tmp_path / "away-after-three"
    recipe = make_recipe(tmp_path, model, "while_there_is_no_switch")
    said: list[str] = []

    def watch(step: int, _total: int, _loss: float) -> None:
        if step == 3:
            switch.touch()

    import tests.training.ppo.tiny_run as rewards

    rewards.SWITCH = switch
    with pytest.raises(RewardAway, match=r"8 of 8 completions .* --resume"):
        train_ppo(recipe, progress=watch, message=said.append)
    assert sum("asked again in" in text for text in said) >= 2
    saved = sorted(path.name for path in (recipe.output / "checkpoints").iterdir())
    assert saved == ["checkpoint-2", "checkpoint-3"]
    switch.unlink()
    train_ppo(recipe, resume=True, message=silent)
    assert metrics(recipe) == metrics(unbroken)


def test_unscored_completions_leave_the_batch_and_are_counted(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(tmp_path, model, "half_unscored", steps=2)
    summary = train_ppo(recipe, message=silent)
    assert [line["unscored"] for line in metrics(recipe)] == [4, 4]
    assert (summary.rows, summary.unscored) == (8, 8)


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ("nothing_but_nan", r"'nothing_but_nan' is nan for 8 of 8 completions · prompts p\d"),
        ("constant", r"step 3: the reward was the same for all completions of 3 steps in a row"),
    ],
)
def test_a_reward_that_teaches_nothing_stops_the_run(
    tmp_path: Path, model: Path, reward: str, words: str
) -> None:
    said: list[str] = []
    recipe = make_recipe(tmp_path, model, reward, constant_steps=3, save_steps=9)
    with pytest.raises(VerdictError, match=words):
        train_ppo(recipe, message=said.append)
    assert len(said) == (reward == "constant")
    if reward == "constant":
        with pytest.raises(VerdictError, match=words):  # from the checkpoint of step 2
            train_ppo(recipe, resume=True, message=said.append)
        assert "going on from the checkpoint of step 2" in said[1]


def test_completions_that_never_end_cost_the_penalty_and_are_reported(
    tmp_path: Path, model: Path
) -> None:
    recipe = make_recipe(tmp_path, model, steps=1, rollout={"max_tokens": 2})
    train_ppo(recipe, message=silent)
    line = metrics(recipe)[0]
    assert line["finished"] == 0.0
    assert line["rlhf_reward"] == pytest.approx(line["reward"] - 1.0, abs=1e-6)


def test_rewards_are_centred_on_the_first_step_and_reported_as_they_came(
    tmp_path: Path, model: Path
) -> None:
    shaping = {"missing_eos_penalty": 0.0}
    recipe = make_recipe(tmp_path, model, steps=2, centre_rewards=True, shaping=shaping)
    train_ppo(recipe, message=silent)
    first, second = metrics(recipe)
    assert first["rlhf_reward"] == pytest.approx(0.0, abs=1e-6) and first["reward"] > 1e-3
    centred = second["reward"] - first["reward"] - 0.05 * second["kl"]
    assert second["rlhf_reward"] == pytest.approx(centred, abs=1e-6)
    for line in (first, second):
        assert line["loss"] == pytest.approx(line["loss_policy"] + 0.1 * line["loss_value"])


def test_an_empty_prompt_and_one_that_is_too_long_are_told(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(tmp_path, model, steps=1)
    recipe.prompts.write_text('{"id": "blank", "prompt": "  "}\n')
    with pytest.raises(DataError, match=r"1 prompts are empty · ids 'blank'"):
        train_ppo(recipe, message=silent)
    recipe.prompts.write_text(json.dumps({"id": "long", "prompt": "tea " * 90}) + "\n")
    with pytest.raises(ConfigError, match=r"every prompt is longer than 56 tokens"):
        train_ppo(recipe, message=silent)


def test_values_may_share_the_policys_forward_pass(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(tmp_path, model, steps=2, value={"kind": "shared"})
    train_ppo(recipe, message=silent)
    assert all(line["loss_value"] > 0 for line in metrics(recipe))


class InterruptedLoop(PpoLoop):
    """Stopped by Ctrl-C in the update of its second step."""

    def update(self, step: int, *rest: Any) -> dict[str, float]:
        metrics = super().update(step, *rest)
        if step == 2:
            raise KeyboardInterrupt
        return metrics


class StoppedLoop(PpoLoop):
    """Stopped by an error while the third step draws, which does not say so itself."""

    error: CharterError

    def _draw(self, step: int) -> Any:
        if step == 3:
            raise self.error
        return super()._draw(step)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ModelError("no server"), id="a rollout server that stays away"),
        pytest.param(VerdictError("reward is nan"), id="a reward that is no number"),
    ],
)
def test_whatever_stops_a_run_between_steps_leaves_the_last_whole_one(
    tmp_path: Path, model: Path, error: CharterError
) -> None:
    recipe = make_recipe(tmp_path, model, save_steps=9)
    StoppedLoop.error = error
    with pytest.raises(type(error)):
        train_by_steps(recipe, StoppedLoop, False, lambda *_: None, silent)
    assert [path.name for path in (recipe.output / "checkpoints").iterdir()] == ["checkpoint-2"]


class RefusingLoop(PpoLoop):
    """Its sampler writes nothing for the first prompt of each step."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        draw = self.sampler.draw

        async def without_first(prompts: Any, step: int) -> Any:
            return [None, *(await draw(prompts, step))[1:]]

        self.sampler.draw = without_first  # type: ignore[method-assign]


def test_what_no_server_would_write_is_counted_and_metrics_go_where_the_recipe_says(
    tmp_path: Path, model: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = make_recipe(tmp_path, model, steps=2, report_to="tensorboard")
    train_by_steps(recipe, RefusingLoop, False, lambda *_: None, silent)
    lines = metrics(recipe)
    assert [line["refused"] for line in lines] == [1, 1]
    (events,) = recipe.output.rglob("*tfevents*")
    told = EventAccumulator(str(events)).Reload()
    rewards = [(event.step, event.value) for event in told.Scalars("train/reward")]
    assert rewards == [(line["step"], pytest.approx(line["reward"])) for line in lines]


def test_weights_of_half_an_update_are_never_saved_as_a_steps(tmp_path: Path, model: Path) -> None:
    recipe = make_recipe(tmp_path, model)
    with pytest.raises(KeyboardInterrupt):
        train_by_steps(recipe, InterruptedLoop, False, lambda *_: None, silent)
    folder = recipe.output / "checkpoints"
    assert not folder.exists() or not list(folder.iterdir())
