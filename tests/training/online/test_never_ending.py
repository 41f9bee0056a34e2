"""A run whose completions are all cut off says so, once."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import tests.training.online.test_group_methods as group
from tests.training.tiny_policy import make_policy
from training.online.group_methods import GrpoRecipe, train_grpo


def test_it_speaks_once_and_only_where_nothing_ended() -> None:
    from training.online.never_ending import NeverEnding

    said: list[str] = []
    callback = NeverEnding(said.append)
    for step, share in enumerate((0.9, None, 1.0, 1.0)):
        logs = {} if share is None else {"completions/clipped_ratio": share}
        where = SimpleNamespace(global_step=step)
        callback.on_log(SimpleNamespace(max_completion_length=4), where, None, logs=logs)
    [text] = said
    assert "step 2: all completions were cut off at 4 tokens" in text


@pytest.mark.slow
def test_a_run_says_that_nothing_ends(tmp_path: Path) -> None:
    model = make_policy(tmp_path / "model")
    trainer = {"max_steps": 2, "save_steps": 2, "max_completion_length": 1}
    recipe = group.make_recipe(tmp_path, model, GrpoRecipe, trainer=trainer)
    said: list[str] = []
    train_grpo(recipe, message=said.append)
    assert sum("all completions were cut off at 1 tokens" in text for text in said) == 1
