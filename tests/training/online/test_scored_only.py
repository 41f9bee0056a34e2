"""What TRL makes of our rewards before it learns: the unscored are out, parts pull alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tests.training.online.test_group_methods as group
from judges.policies import model_folder
from tests.training.tiny_policy import make_policy
from training.online.background import Background
from training.online.group_methods import GrpoRecipe, RlooRecipe, _make_trainer
from training.online.prompts import encode_prompts, read_prompts
from training.online.reward import Score
from training.runs.run import open_run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


class Told:
    """A reward that says what it is told to, over and over."""

    name = "told"

    def __init__(self, *scores: Score) -> None:
        self._scores = scores

    async def __call__(self, prompts: Any, _completions: Any) -> list[Score]:
        return [self._scores[n % len(self._scores)] for n, _ in enumerate(prompts)]

    async def close(self) -> None:
        pass


@contextmanager
def made_trainer(recipe: Any, reward: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A trainer that is away from its reference, and a step's batch as it will learn from it."""
    import torch

    with open_run(recipe, [], resume=False, message=group.silent) as run, Background() as behind:
        items = read_prompts(recipe.prompts)
        prompts, _ = encode_prompts(items, model_folder(recipe.model), 60, group.silent)
        trainer = _make_trainer(recipe, prompts, run, reward, behind)
        torch.manual_seed(0)
        with torch.no_grad():
            for weights in trainer.model.parameters():
                weights += 0.05 * torch.randn_like(weights)
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        size = trainer.num_generations
        rows = [dict(trainer.train_dataset[n // size]) for n in range(2 * size)]
        yield trainer, trainer._generate_and_score_completions(rows)


def loss(trainer: Any, batch: dict[str, Any], **changes: Any) -> float:
    return float(trainer.compute_loss(trainer.model, {**batch, **changes}).detach())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (GrpoRecipe, {"loss_type": "grpo"}),
        (GrpoRecipe, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        (GrpoRecipe, {"loss_type": "dapo"}),
        (GrpoRecipe, {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
        (RlooRecipe, {}),
    ],
    ids=["grpo", "dr_grpo", "dapo", "gspo", "rloo"],
)
def test_a_step_has_the_loss_that_it_would_have_without_the_unscored(
    tmp_path: Path, model: Path, kind: Any, settings: dict[str, Any]
) -> None:
    scores = (Score(value=1.0), Score(value=None), Score(value=0.0), Score(value=0.5))
    trainer = {"beta": 0.5, "num_generations": 4, **settings}
    recipe = group.make_recipe(tmp_path, model, kind, trainer=trainer)
    with made_trainer(recipe, Told(*scores)) as (trainer, batch):
        if kind is RlooRecipe:  # whose advantages have the sum 0 where all ratios are 1
            batch["old_logps"] *= batch["old_logps"].new_tensor([1.01, 0.99]).repeat(4)
        whole, kept = loss(trainer, batch), [0, 2, 3, 4, 6, 7]
        assert abs(whole) > 1e-4
        if kind is GrpoRecipe:
            assert batch["num_items_in_batch"] == batch["completion_mask"][kept].sum()
        other = batch["completion_ids"].clone()
        other[[1, 5]] = 7
        assert loss(trainer, batch, completion_ids=other) == pytest.approx(whole, abs=1e-6)
        without = {key: value[kept] for key, value in batch.items() if value.ndim}
        share = batch["scored_share"]
        assert float(share) == 0.75
        assert loss(trainer, {**batch, **without}, scored_share=share / share) == pytest.approx(
            whole, rel=1e-4, abs=1e-6
        )
        assert trainer._metrics["train"]["unscored"] == [2.0]


@pytest.mark.slow
def test_parts_on_unlike_scales_pull_alike(tmp_path: Path, model: Path) -> None:
    rules = {"kind": "rules", "constitution": "plain-speech@1"}
    judge = {"kind": "judge", "constitution": "plain-speech@1"}
    recipe = group.make_recipe(
        tmp_path, model, GrpoRecipe, rewards=[rules, judge], separate=True,
        trainer={"num_generations": 4},
    )  # fmt: skip
    parts = [(0, 0), (0, 1), (1000, 0), (1000, 1)]
    scores = [Score(value=a + b, parts={"rules": a, "judge": b}) for a, b in parts]
    with made_trainer(recipe, Told(*scores)) as (trainer, batch):
        worst, *middle, best = batch["advantages"][:4].tolist()
        assert middle == pytest.approx([0, 0], abs=1e-3)
        assert (worst, best) == pytest.approx((-best, best)) and best > 1
        assert trainer._metrics["train"]["groups/equal"] == [0.0]


def test_groups_are_equal_where_no_reward_tells_two_scored_completions_apart() -> None:
    import torch

    from training.online.scored_only import count_equal

    none = float("nan")
    whole = torch.tensor([[1.0], [1.0], [0.0], [1.0], [none], [0.5], [none], [none]])
    assert (count_equal(whole, 2), count_equal(whole, 4)) == (3, 1)
    parts = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, none], [1.0, none]])
    assert count_equal(parts, 2) == 1
