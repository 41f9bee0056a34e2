"""What the guard refuses to look at: rewards whose mean cannot move."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from judges.errors import ConfigError
from judges.records import CompletionText, Item
from tests.training.ppo.tiny_run import make_recipe, silent
from training.guard.guard import Guard
from training.guard.settings import GuardSettings
from training.online.background import Background
from training.online.reward import FunctionReward
from training.runs.run import open_run

RANKING = {"kind": "ranking", "constitution": "plain-speech@1", "judges": ["fake"]}
RULES = {"kind": "rules", "constitution": "plain-speech@1"}


@pytest.mark.parametrize("place", ["held_out", "proxy"])
def test_a_ranking_cannot_be_looked_at(place: str) -> None:
    values: dict[str, Any] = {"prompts": "heldout.jsonl", "held_out": [RULES]}
    values[place] = [RULES, RANKING]
    with pytest.raises(ValidationError, match=rf'{place}\n.*\[1\] is kind = "ranking".*"judge"'):
        GuardSettings.model_validate(values)


def nothing(_prompts: Sequence[Item], completions: Sequence[CompletionText]) -> list[float | None]:
    return [None] * len(completions)


@pytest.mark.slow
def test_a_run_that_is_rewarded_by_a_ranking_names_another_proxy(tmp_path: Path) -> None:
    from tests.training.tiny_policy import make_policy

    guard: dict[str, Any] = {"prompts": "prompts.jsonl", "held_out": [RULES], "max_tokens": 6}
    recipe = make_recipe(
        tmp_path, make_policy(tmp_path / "model"), rewards=[RANKING, RULES], samples_per_prompt=2
    )
    own = FunctionReward("ranking", nothing)
    guard["prompts"] = str(recipe.prompts)
    with open_run(recipe, [], resume=False, message=silent) as run, Background() as background:
        settings = GuardSettings.model_validate(guard)
        with pytest.raises(ConfigError, match=r"guard\.proxy is missing; \[\[rewards\]\] holds"):
            Guard(settings, recipe, run, background, own, recipe.rewards)
        named = GuardSettings.model_validate(guard | {"proxy": [RULES]})
        Guard(named, recipe, run, background, own, recipe.rewards).close()


def test_ppo_by_a_ranking_needs_completions_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r'samples_per_prompt is 1, .*"ranking" compares'):
        make_recipe(tmp_path, tmp_path, rewards=[RANKING])
    assert make_recipe(tmp_path, tmp_path, rewards=[RANKING], samples_per_prompt=2)
