"""The shipped accelerate files load; two processes train as one would, and share one run folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.launching import ROOT, launch
from tests.training.tiny_policy import SETTINGS, make_policy, make_preferences
from training.methods.dpo import DpoRecipe, train_dpo
from training.runs.recipe_files import load_recipe

CONFIGS = sorted((ROOT / "deploy" / "accelerate").glob("*.yaml"))


def launched(config: Path) -> Any:
    """What `accelerate launch` makes of a file, short of starting anything."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    arguments = ["--config_file", str(config), "charter.py", "train", "dpo"]
    return _validate_launch_command(launch_command_parser().parse_args(arguments))[0]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_understands_the_file(config: Path) -> None:
    seen = launched(config)
    assert seen.num_processes == {"one-gpu": 1, "fsdp2-nodes": 32}.get(config.stem, 8)
    assert seen.mixed_precision == "bf16"
    assert config.read_text().startswith("# ")


@pytest.mark.parametrize("name", ["fsdp2", "fsdp2-nodes"])
def test_weights_are_sharded_by_the_second_fsdp(name: str) -> None:
    from accelerate.utils.launch import prepare_multi_gpu_env

    seen = launched(ROOT / "deploy" / "accelerate" / f"{name}.yaml")
    assert seen.use_fsdp
    told = prepare_multi_gpu_env(seen)
    assert told["FSDP_VERSION"] == "2"
    assert told["FSDP_RESHARD_AFTER_FORWARD"] == "true"


def test_zero3_is_zero3() -> None:
    seen = launched(ROOT / "deploy" / "accelerate" / "zero3.yaml")
    assert (seen.use_deepspeed, int(seen.zero_stage)) == (True, 3)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    make_policy(tmp_path / "model")
    make_preferences(tmp_path / "preferences.jsonl")
    alone = recipe_of(tmp_path, "one", batch=4)
    train_dpo(load_recipe(alone, DpoRecipe), message=lambda _: None)
    done = launch("dpo", recipe_of(tmp_path, "two", batch=2), processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (metrics(tmp_path / name) for name in ("one", "two"))
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3]
    for left, right in zip(one, two, strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=1e-3)
        assert right["num_tokens"] == left["num_tokens"]
    assert {file.name for file in (tmp_path / "two").iterdir()} >= {
        "adapter_model.safetensors", "manifest.json", "summary.json", "metrics.jsonl",
    }  # fmt: skip


def recipe_of(folder: Path, name: str, batch: int) -> Path:
    recipe = folder / f"{name}.toml"
    trainer = {**SETTINGS, "max_steps": 3, "per_device_train_batch_size": batch}
    lines = [f"{key} = {json.dumps(value)}" for key, value in trainer.items()]
    recipe.write_text(
        f'model = "{folder}/model"\npreferences = "{folder}/preferences.jsonl"\n'
        f'output = "{folder}/{name}"\ndevice = "cpu"\n[lora]\nr = 4\n[trainer]\nbf16 = false\n'
        + "\n".join(lines)
    )
    return recipe


def metrics(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
