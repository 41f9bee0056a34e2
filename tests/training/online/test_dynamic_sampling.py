"""Dynamic sampling: which groups teach nothing, and that their places go to other prompts."""

from pathlib import Path
from typing import Any

import pytest

import tests.training.online.test_group_methods as group
from tests.training.tiny_policy import make_policy
from training.online.dynamic_sampling import equal_groups
from training.online.group_methods import GrpoRecipe, RlooRecipe, train_grpo, train_rloo
from training.online.reward import Score

REWARD = "tests.training.online.test_dynamic_sampling:{}"


def scores(*values: float | None, parts: dict[str, float | None] | None = None) -> list[Score]:
    return [Score(value=value, parts=parts or {}) for value in values]


def test_groups_whose_scored_completions_are_equal_teach_nothing() -> None:
    told = scores(1.0, 1.0, 0.0, 1.0, None, 0.5, None, None)
    assert equal_groups(told, 2) == [0, 2, 3]
    assert equal_groups(told, 4) == [1]


def test_where_parts_are_normalised_apart_one_of_them_that_differs_is_enough() -> None:
    told = [Score(value=1.0, parts={"a": 1.0, "b": 0.0}), Score(value=1.0, parts={"a": 0, "b": 1})]
    assert equal_groups(told, 2) == [0]
    assert equal_groups(told, 2, parts=["a", "b"]) == []


def test_parts_of_parts_are_not_learned_from() -> None:
    told = [Score(value=1.0, parts={"model": 1.0, "model/variance": n}) for n in (0.1, 0.2)]
    assert equal_groups(told, 2, parts=["model"]) == [0]


def flat_for_early_prompts(prompts: Any, completions: Any) -> list[float | None]:
    """Prompts below p6 are solved: all their completions have 1."""
    return [
        1.0 if int(item.id[1:]) < 6 else float(len(one.text) % 3)
        for item, one in zip(prompts, completions, strict=True)
    ]


def always_one(prompts: Any, _completions: Any) -> list[float | None]:
    return [1.0 for _ in prompts]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


def run(folder: Path, model: Path, kind: Any, train: Any, reward: str, **changes: Any) -> Any:
    rewards = [{"kind": "python", "function": REWARD.format(reward)}]
    recipe = group.make_recipe(
        folder, model, kind, rewards=rewards, output=folder / kind.METHOD,
        trainer={"max_steps": 3, "save_steps": 9, "num_generations": 4}, **changes,
    )  # fmt: skip
    train(recipe, message=group.silent)
    return group.metrics(recipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "train"), [(GrpoRecipe, train_grpo), (RlooRecipe, train_rloo)], ids=["grpo", "rloo"]
)
def test_solved_prompts_give_their_places_to_others(
    tmp_path: Path, model: Path, kind: Any, train: Any
) -> None:
    lines = run(tmp_path, model, kind, train, "flat_for_early_prompts", dynamic_sampling=6)
    assert sum(line["groups/redrawn"] for line in lines) > 0
    assert [line["groups/equal"] for line in lines] == [0.0, 0.0, 0.0]
    assert [line["frac_reward_zero_std"] for line in lines] == [0.0, 0.0, 0.0]


@pytest.mark.slow
def test_what_stays_equal_is_drawn_again_no_more_than_the_cap(tmp_path: Path, model: Path) -> None:
    lines = run(tmp_path, model, GrpoRecipe, train_grpo, "always_one", dynamic_sampling=2)
    # Four groups a step, each drawn twice more.
    assert [line["groups/redrawn"] for line in lines] == [8.0, 8.0, 8.0]
    assert [line["groups/equal"] for line in lines] == [4.0, 4.0, 4.0]
    assert [line["frac_reward_zero_std"] for line in lines] == [1.0, 1.0, 1.0]
