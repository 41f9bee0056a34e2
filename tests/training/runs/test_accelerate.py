"""The shipped accelerate files load; two processes train as one would, and share one run folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.launching import ROOT, launch
from tests.training.tiny_policy import SETTINGS, make_policy, make_preferences
from training.methods.dpo import DpoRecipe, train_dpo
from training.methods.kto import KtoRecipe, train_kto
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
@pytest.mark.parametrize("ahead", [False, True], ids=["reference beside", "precomputed reference"])
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, ahead: bool) -> None:
    make_policy(tmp_path / "model")
    make_preferences(tmp_path / "preferences.jsonl")
    alone = recipe_of(tmp_path, "one", batch=4)
    train_dpo(load_recipe(alone, DpoRecipe), message=lambda _: None)
    both = recipe_of(tmp_path, "two", batch=2, precompute_ref_log_probs=ahead)
    done = launch("dpo", both, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (metrics(tmp_path / name) for name in ("one", "two"))
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3]
    for left, right in zip(one, two, strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=1e-3)
        assert right["num_tokens"] == left["num_tokens"]
    assert {file.name for file in (tmp_path / "two").iterdir()} >= {
        "adapter_model.safetensors", "manifest.json", "summary.json", "metrics.jsonl",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "source", "kind", "train"),
    [
        pytest.param("dpo", "preferences", DpoRecipe, train_dpo, id="dpo"),
        pytest.param("kto", "examples", KtoRecipe, train_kto, id="kto"),
    ],
)
def test_a_run_begun_again_reads_the_reference_it_kept(
    tmp_path: Path, method: str, source: str, kind: Any, train: Any
) -> None:
    make_policy(tmp_path / "model")
    make_preferences(tmp_path / "preferences.jsonl")
    path = recipe_of(tmp_path, method, batch=4, source=source, precompute_ref_log_probs=True)
    recipe = load_recipe(path, kind)
    train(recipe, message=lambda _: None)
    (kept,) = (recipe.output / "reference").iterdir()
    before, losses = kept.stat(), metrics(recipe.output)
    (recipe.output / "summary.json").unlink()
    shutil.rmtree(recipe.output / "checkpoints")
    train(recipe, resume=True, message=lambda _: None)
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert metrics(recipe.output) == losses


def recipe_of(
    folder: Path, name: str, batch: int, source: str = "preferences", **options: Any
) -> Path:
    recipe = folder / f"{name}.toml"
    trainer = {**SETTINGS, "max_steps": 3, "per_device_train_batch_size": batch, **options}
    lines = [f"{key} = {json.dumps(value)}" for key, value in trainer.items()]
    recipe.write_text(
        f'model = "{folder}/model"\n{source} = "{folder}/preferences.jsonl"\n'
        f'output = "{folder}/{name}"\ndevice = "cpu"\n[lora]\nr = 4\n[trainer]\nbf16 = false\n'
        + "\n".join(lines)
    )
    return recipe


def metrics(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
