"""The manifest: what it pins, and what TRL is told on each kind of device."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ConfigError, DataError, ModelError
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from tests.training.tiny_policy import make_preferences, make_recipe
from training.methods.dpo import DpoRecipe
from training.runs.hardware import Hardware, find_hardware
from training.runs.manifest import make_manifest
from training.runs.trainer_options import trainer_options

CPU = Hardware(device="cpu", name="cpu", bfloat16=False)
GPU = Hardware(device="cuda", name="NVIDIA H200", bfloat16=True)


@pytest.fixture
def recipe(tmp_path: Path) -> DpoRecipe:
    model = write_model(tmp_path / "model", byte_level_bpe())
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    make_preferences(tmp_path / "preferences.jsonl", count=3)
    return make_recipe(tmp_path)


def test_manifest_pins_recipe_data_model_code_and_libraries(recipe: DpoRecipe) -> None:
    manifest = make_manifest(recipe)
    assert DpoRecipe.model_validate(manifest.recipe) == recipe
    assert manifest.data[0].rows == 3
    assert manifest.data[0].digests == {"constitution": ("c" * 64,), "judge": ("j" * 64,)}
    assert manifest.versions["trl"]
    assert manifest.versions["python"]
    assert manifest.git_commit is None or len(manifest.git_commit) >= 40
    assert json.loads(manifest.model_dump_json())["trainer"]["max_steps"] == 6
    assert make_manifest(recipe) == manifest


def test_other_weights_and_other_rows_give_other_digests(recipe: DpoRecipe) -> None:
    before = make_manifest(recipe)
    (Path(recipe.model) / "model.safetensors").write_bytes(b"other weights")
    make_preferences(recipe.preferences[0].path, count=3, p_chosen=0.8)
    after = make_manifest(recipe)
    assert after.model_digest != before.model_digest
    assert after.data[0].sha256 != before.data[0].sha256


def test_manifest_of_a_run_that_could_not_start_is_an_error(recipe: DpoRecipe) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        make_manifest(recipe.model_copy(update={"model": "nowhere"}))
    with pytest.raises(DataError, match="no such file"):
        make_manifest(DpoRecipe.model_validate({**recipe.model_dump(), "preferences": "no.jsonl"}))


@pytest.mark.parametrize(
    ("hardware", "bf16", "checkpointing", "use_cpu"),
    [
        pytest.param(CPU, False, False, True, id="CPU without bfloat16"),
        pytest.param(CPU.model_copy(update={"bfloat16": True}), True, False, True, id="CPU with"),
        pytest.param(GPU, True, True, False, id="GPU"),
    ],
)
def test_trainer_options_follow_the_device(
    recipe: DpoRecipe, hardware: Hardware, bf16: bool, checkpointing: bool, use_cpu: bool
) -> None:
    options = trainer_options(recipe, hardware)
    assert options["bf16"] is bf16
    assert options["gradient_checkpointing"] is checkpointing
    assert options["use_cpu"] is use_cpu


def test_recipe_decides_where_it_says_so(recipe: DpoRecipe) -> None:
    chosen = recipe.model_copy(update={"trainer": {"bf16": False, "gradient_checkpointing": False}})
    options = trainer_options(chosen, GPU)
    assert (options["bf16"], options["gradient_checkpointing"]) == (False, False)


@pytest.mark.parametrize(
    "trainer",
    [{"bf16": True}, {"model_init_kwargs": {"dtype": "bfloat16"}}],
    ids=["autocast", "weights"],
)
def test_bfloat16_is_refused_where_it_would_crawl(
    recipe: DpoRecipe, trainer: dict[str, Any]
) -> None:
    asked = recipe.model_copy(update={"trainer": trainer})
    with pytest.raises(ConfigError, match="many times slower than float32"):
        trainer_options(asked, CPU)
    assert trainer_options(asked, GPU)["bf16"] is True


def test_asking_for_the_cpu_gives_the_cpu() -> None:
    found = find_hardware("cpu")
    assert (found.device, found.name) == ("cpu", "cpu")
    assert found.dtype == ("bfloat16" if found.bfloat16 else "float32")


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        pytest.param({"max_position_embeddings": 512}, True, id="too few"),
        pytest.param({"text_config": {"max_position_embeddings": 512}}, True, id="of a text tower"),
        pytest.param(
            {"max_position_embeddings": 512, "rope_parameters": {"rope_type": "default"}}, True,
            id="not stretched",
        ),
        pytest.param({"max_position_embeddings": 1024}, False, id="enough"),
        pytest.param({}, False, id="not told"),
        pytest.param(
            {"max_position_embeddings": 512, "rope_scaling": {"type": "yarn"}}, False,
            id="stretched",
        ),
    ],
)  # fmt: skip
def test_texts_longer_than_the_models_positions_are_refused(
    recipe: DpoRecipe, tmp_path: Path, config: dict[str, Any], refused: bool
) -> None:
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    long = recipe.model_copy(update={"max_length": 1024})
    if not refused:
        assert make_manifest(long).recipe["max_length"] == 1024
        return
    with pytest.raises(ConfigError, match=r"max_length is 1024, but .* positions for 512 tokens"):
        make_manifest(long)
