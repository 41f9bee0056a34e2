"""What ends a run early says which knob to turn, and leaves other errors alone."""

import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ConfigError, DataError, ModelError
from training.methods.dpo import DpoRecipe
from training.rewards.recipe import RewardRecipe
from training.runs.run_folder import RunFolder
from training.runs.stops import FiniteWatch, clear_stops


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder with a whole checkpoint of step 4 and a half-written one of step 6."""
    run = RunFolder(tmp_path / "run")
    for step, text in ((4, json.dumps({"global_step": 4})), (6, "")):
        place = run.checkpoints / f"checkpoint-{step}"
        place.mkdir(parents=True)
        (place / "trainer_state.json").write_text(text)
    return run


def recipe_of(**changes: Any) -> DpoRecipe:
    return DpoRecipe.model_validate({"model": "m", "preferences": "p", "output": "o", **changes})


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="operating system"),
        pytest.param(OSError(errno.EDQUOT, "Disk quota exceeded"), id="quota"),
        pytest.param(
            RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed"),
            id="torch",
        ),
        pytest.param(
            ValueError("Error while serializing: I/O error: File too large (os error 27)"),
            id="safetensors",
        ),
    ],
)
def test_full_disk_names_the_checkpoint_that_is_whole(folder: RunFolder, error: Exception) -> None:
    whole = "disk is full; the checkpoint of step 4 is whole"
    with pytest.raises(DataError, match=whole), clear_stops(folder, recipe_of()):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MemoryError(), id="Python"),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), id="CPU"
        ),
    ],
)
def test_full_memory_names_the_knobs_with_their_values(folder: RunFolder, error: Exception) -> None:
    recipe = recipe_of(max_length=2048, trainer={"gradient_accumulation_steps": 2})
    with pytest.raises(ModelError, match="out of memory") as caught, clear_stops(folder, recipe):
        raise error
    for knob in (
        "trainer.per_device_train_batch_size 8 -> 4",
        "trainer.gradient_accumulation_steps 2 -> 4",
        "trainer.gradient_checkpointing = true",
        "max_length 2048 -> 1024",
        "[lora]",
        "adamw_8bit",
    ):
        assert knob in str(caught.value), knob


def test_a_gpu_library_that_finds_no_memory_is_full_memory(folder: RunFolder) -> None:
    text = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    with (
        pytest.raises(ModelError, match="out of memory") as caught,
        clear_stops(folder, recipe_of()),
    ):
        raise RuntimeError(text)
    assert "per_device_train_batch_size 8 -> 4" in str(caught.value)


def test_knobs_that_are_turned_already_are_not_named(folder: RunFolder) -> None:
    turned = {"per_device_train_batch_size": 1, "gradient_checkpointing": True}
    recipe = recipe_of(lora={"r": 4}, trainer=turned)
    with pytest.raises(ModelError) as caught, clear_stops(folder, recipe):
        raise MemoryError
    for knob in ("batch_size", "gradient_checkpointing", "[lora]", "adamw_8bit"):
        assert knob not in str(caught.value), knob
    assert "bfloat16" in str(caught.value)


def test_a_gpu_checkpoints_already_where_the_device_is_left_to_charter(folder: RunFolder) -> None:
    with pytest.raises(ModelError) as caught, clear_stops(folder, recipe_of()):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert "gradient_checkpointing" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "named", "unnamed"),
    [
        pytest.param({"lora": {"r": 4}}, '; dtype = "bfloat16"', "model_init_kwargs", id="adapter"),
        pytest.param({"frozen": True}, 'dtype = "bfloat16"', "[lora]", id="heads alone"),
    ],
)
def test_knobs_are_keys_that_the_recipe_has(
    folder: RunFolder, changes: dict[str, Any], named: str, unnamed: str
) -> None:
    given = {"model": "m", "preferences": "p", "output": "o", **changes}
    recipe = RewardRecipe.model_validate(given)
    with pytest.raises(ModelError) as caught, clear_stops(folder, recipe):
        raise MemoryError
    assert named in str(caught.value)
    assert unnamed not in str(caught.value)


@pytest.mark.parametrize(
    "error", [KeyError("loss"), RuntimeError("shape mismatch"), ConfigError("out of memory words")]
)
def test_other_errors_pass_through(folder: RunFolder, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, clear_stops(folder, recipe_of()):
        raise error
    assert caught.value is error


def test_a_step_without_number_names_the_rows_of_all_its_batches() -> None:
    watch = FiniteWatch(lambda rows: f"rows {rows}")
    watch.loss(0, 0.7, [1, 2])
    watch.gradient(0, 1.0)
    watch.loss(1, 0.7, [3])
    watch.loss(1, 0.7, [4])
    with pytest.raises(
        ModelError, match=r"training step 2: the gradient's norm is nan on rows \[3, 4\]"
    ):
        watch.gradient(1, math.nan)
    with pytest.raises(ModelError, match=r"training step 3: the loss is inf on rows \[5\]"):
        watch.loss(2, math.inf, [5])


def test_packed_rows_are_said_to_be_nameless() -> None:
    watch = FiniteWatch(lambda rows: ", ".join(map(str, rows)))
    with pytest.raises(ModelError, match="the loss is nan on packed rows, which cannot be named"):
        watch.loss(0, math.nan, [])
