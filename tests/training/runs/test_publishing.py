"""A trained model is in its run folder whole, or not at all."""

import json
from pathlib import Path

import pytest

from judges.errors import DataError
from tests.training.runs.full_disk import full_disk
from training.methods.dpo import DpoRecipe
from training.runs.publishing import publish
from training.runs.run_folder import RunFolder
from training.runs.stops import clear_stops

RECIPE = DpoRecipe.model_validate({"model": "m", "preferences": "p", "output": "o"})


def save(folder: str) -> None:
    """An adapter, as PEFT leaves it."""
    Path(folder).mkdir(parents=True)
    config = {"base_model_name_or_path": "/here/base", "target_modules": ["v", "q"]}
    (Path(folder) / "adapter_config.json").write_text(json.dumps(config))
    (Path(folder) / "README.md").write_text("/here")
    (Path(folder) / "adapter_model.safetensors").write_bytes(b"0" * 50_000)


def test_an_adapter_names_its_base_as_the_recipe_does(tmp_path: Path) -> None:
    publish(save, tmp_path, "embedded")
    assert {file.name for file in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "embedded", "target_modules": ["q", "v"]}


def test_a_full_disk_publishes_nothing_and_is_told_as_one(tmp_path: Path) -> None:
    told = pytest.raises(DataError, match="disk is full; there is no checkpoint; free some space")
    with told, clear_stops(RunFolder(tmp_path), RECIPE), full_disk(10_000):
        publish(save, tmp_path, "embedded")
    assert not [file for file in tmp_path.iterdir() if file.name[0] != "."]
    publish(save, tmp_path, "embedded")
    assert (tmp_path / "adapter_config.json").exists()
