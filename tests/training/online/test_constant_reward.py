"""A reward that tells nothing apart stops the run, whatever TRL adds to it or divides it by."""

from pathlib import Path
from typing import Any

import pytest

import tests.training.online.test_group_methods as group
from judges.errors import VerdictError
from tests.training.ppo.tiny_run import letters
from tests.training.tiny_policy import make_policy
from training.online.group_methods import GrpoRecipe, RlooRecipe, train_grpo, train_rloo

METHODS = pytest.mark.parametrize(
    ("kind", "train"), [(GrpoRecipe, train_grpo), (RlooRecipe, train_rloo)], ids=["grpo", "rloo"]
)
CALLS = 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


def turns_constant(prompts: Any, completions: Any) -> list[float | None]:
    """As `letters` for two steps; then each prompt has a number of its own."""
    global CALLS
    CALLS += 1
    if CALLS <= 2:
        return letters(prompts, completions)
    return [float(item.id[1:]) for item in prompts]


@pytest.mark.slow
@METHODS
def test_a_reward_that_tells_nothing_apart_stops_the_run_also_resumed(
    tmp_path: Path, model: Path, kind: Any, train: Any
) -> None:
    python = [{"kind": "python", "function": "tests.training.ppo.tiny_run:constant"}]
    recipe = group.make_recipe(
        tmp_path, model, kind, rewards=python, constant_steps=3, trainer={"max_steps": 6}
    )
    said: list[str] = []
    with pytest.raises(VerdictError, match=r"step 3: .* 3 steps in a row \(mean now 0.5\)"):
        train(recipe, message=said.append)
    assert sum("nothing can be learned" in text for text in said) == 1
    with pytest.raises(VerdictError, match=r"step 4: .* 4 steps in a row"):
        train(recipe, resume=True, message=group.silent)  # from where it stopped, counting on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "train", "settings"),
    [
        pytest.param(RlooRecipe, train_rloo, {"beta": 0.5}, id="KL in RLOO's reward"),
        pytest.param(GrpoRecipe, train_grpo, {"scale_rewards": "batch"}, id="the batch's spread"),
    ],
)
def test_a_reward_that_turns_constant_is_noticed(
    tmp_path: Path, model: Path, kind: Any, train: Any, settings: dict[str, Any]
) -> None:
    global CALLS
    CALLS = 0
    function = f"{__name__}:turns_constant"
    recipe = group.make_recipe(
        tmp_path, model, kind, rewards=[{"kind": "python", "function": function}],
        constant_steps=2, trainer={"max_steps": 5, **settings},
    )  # fmt: skip
    with pytest.raises(VerdictError, match=r"step 4: .* 2 steps in a row"):
        train(recipe, message=group.silent)
    *_, last = group.metrics(recipe)
    assert (last["groups/equal"], last["frac_reward_zero_std"]) == (2.0, 0.0)
