"""A run that is gone on with after its last step, or elsewhere than it was begun."""

import json
from pathlib import Path

import pytest

from tests.training.tiny_policy import make_policy, make_preferences, make_recipe
from training.methods.dpo import train_dpo

pytestmark = pytest.mark.slow
WEIGHTS = "adapter_model.safetensors"


def test_a_run_stopped_after_its_last_step_takes_no_further_one(tmp_path: Path) -> None:
    make_policy(tmp_path / "model")
    make_preferences(tmp_path / "preferences.jsonl")
    recipe = make_recipe(tmp_path, trainer={"max_steps": 3})
    train_dpo(recipe, message=lambda _: None)
    metrics = (recipe.output / "metrics.jsonl").read_bytes()
    weights = (recipe.output / WEIGHTS).read_bytes()
    for name in ("summary.json", WEIGHTS, "adapter_config.json"):
        (recipe.output / name).unlink()
    manifest = json.loads((recipe.output / "manifest.json").read_text())
    (recipe.output / "manifest.json").write_text(json.dumps(manifest | {"processes": 8}))
    said: list[str] = []
    assert train_dpo(recipe, resume=True, message=said.append).steps == 3
    assert (recipe.output / "metrics.jsonl").read_bytes() == metrics
    assert (recipe.output / WEIGHTS).read_bytes() == weights
    assert said[0].startswith(
        f"{recipe.output}: begun with processes 8, now 1: from step 4 on its losses are not those"
    )
    assert said[0].endswith("rows of this epoch may be seen twice, or not at all")
