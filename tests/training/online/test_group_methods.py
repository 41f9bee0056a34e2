"""GRPO and RLOO with our rewards: they learn, leave out what is unscored, and resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import VerdictError
from judges.records import Item, Message
from tests.training.ppo.tiny_run import half_unscored, make_prompts, nothing_but_nan
from tests.training.tiny_policy import make_policy
from training.online.background import Background
from training.online.group_methods import (
    GrpoRecipe,
    RlooRecipe,
    part_weights,
    train_grpo,
    train_rloo,
)
from training.online.reward import FunctionReward, Score
from training.online.trl_reward import TrlReward
from training.online.waiting import Patience, RewardAway

ITEMS = [
    Item(id=f"p{n}", prompt=(Message(role="user", content=f"{n}?"),), completions=())
    for n in range(2)
]


class Parts:
    """A reward of two parts, one of which some completions lack."""

    name = "parts"
    calls = 0

    async def __call__(self, _prompts: Any, completions: Any) -> list[Score]:
        self.calls += 1
        return [
            Score(value=None if n == 1 else 3.0, parts={"a": 1.0, "b": None if n == 1 else 2.0})
            for n, _ in enumerate(completions)
        ]

    async def close(self) -> None:
        pass


def make_reward(reward: Any, background: Background) -> TrlReward:
    return TrlReward(reward, ITEMS, (2,), Patience(), background, print)


def ask(function: Any) -> Any:
    completions = [[{"role": "assistant", "content": text}] for text in ("eee", "xe", "x")]
    return function(
        prompts=None, completions=completions, completion_ids=[[5, 2], [5], [6]], row=[0, 0, 1]
    )


def test_a_function_has_the_whole_reward_and_none_for_what_is_unscored() -> None:
    with Background() as background:
        whole = make_reward(FunctionReward("e", half_unscored), background).whole()
        assert ask(whole) == [1.0, None, 0.0]
        assert whole.__name__ == "reward"


def test_parts_are_asked_for_once_and_are_none_together() -> None:
    reward = Parts()
    with Background() as background:
        first, second = make_reward(reward, background).parts(["a", "b"])
        assert (ask(first), ask(second)) == ([1.0, None, 1.0], [2.0, None, 2.0])
    assert reward.calls == 1


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "train"), [(GrpoRecipe, train_grpo), (RlooRecipe, train_rloo)], ids=["grpo", "rloo"]
)
def test_a_reward_that_stays_away_leaves_the_last_step_and_the_run_goes_on_the_same(
    tmp_path: Path, model: Path, kind: Any, train: Any
) -> None:
    import tests.training.ppo.tiny_run as rewards

    rewards.SWITCH = tmp_path / "away"
    function = "tests.training.ppo.tiny_run:while_there_is_no_switch"
    python = [{"kind": "python", "function": function}]
    unbroken = make_recipe(tmp_path, model, kind, rewards=python, output=tmp_path / "unbroken")
    train(unbroken, message=silent)
    recipe = make_recipe(tmp_path, model, kind, rewards=python)

    def watch(step: int, _total: int, _loss: float) -> None:
        if step == 3:
            rewards.SWITCH.touch()

    said: list[str] = []
    with pytest.raises(RewardAway, match="--resume"):
        train(recipe, progress=watch, message=said.append)
    assert any("asked again in" in text for text in said)
    assert (recipe.output / "checkpoints" / "checkpoint-3").exists()
    rewards.SWITCH.unlink()
    summary = train(recipe, resume=True, message=silent)
    assert summary.steps == 4
    assert told(recipe) == told(unbroken)


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
    ("kind", "train"), [(GrpoRecipe, train_grpo), (RlooRecipe, train_rloo)], ids=["grpo", "rloo"]
)
def test_a_reward_that_tells_nothing_apart_stops_the_run_also_resumed(
    tmp_path: Path, model: Path, kind: Any, train: Any
) -> None:
    python = [{"kind": "python", "function": "tests.training.ppo.tiny_run:constant"}]
    recipe = make_recipe(
        tmp_path, model, kind, rewards=python, constant_steps=3, trainer={"max_steps": 6}
    )
    said: list[str] = []
    with pytest.raises(VerdictError, match=r"step 3: .* 3 steps in a row \(mean now 0.5\)"):
        train(recipe, message=said.append)
    assert sum("nothing can be learned" in text for text in said) == 1
    with pytest.raises(VerdictError, match=r"step 3: .* 3 steps in a row"):
        train(recipe, resume=True, message=silent)  # from the checkpoint of step 2


@pytest.mark.slow
def test_principles_are_normalised_apart(tmp_path: Path, model: Path) -> None:
    rules = [{"kind": "rules", "constitution": "plain-speech@1"}]
    recipe = make_recipe(
        tmp_path, model, GrpoRecipe, rewards=rules, separate=True, trainer={"max_steps": 1}
    )
    train_grpo(recipe, message=silent)
    assert {"rewards/brevity/mean", "rewards/finished/mean"} <= metrics(recipe)[0].keys()


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


def test_a_reward_that_is_no_number_never_reaches_trl() -> None:
    with Background() as background:
        whole = make_reward(FunctionReward("broken", nothing_but_nan), background).whole()
        with pytest.raises(VerdictError, match="'broken' is nan for 3 of 3 completions"):
            ask(whole)
