"""What a model folder or an environment lacks is told before a trainer is built."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ConfigError, ModelError
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from training.methods.dpo import DpoRecipe
from training.runs.hardware import Hardware
from training.runs.loading import building_trainer, load_tokenizer
from training.runs.trainer_options import trainer_options

CPU = Hardware(device="cpu", name="cpu", bfloat16=True)


def recipe_of(**changes: Any) -> DpoRecipe:
    return DpoRecipe.model_validate({"model": "m", "preferences": "p", "output": "o", **changes})


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path / "base", byte_level_bpe(), template=None, config={"eos_token": "<|im_end|>"}
    )
    with pytest.raises(ModelError, match=r"base: the tokenizer has no chat template.*instruction"):
        load_tokenizer(folder)


@pytest.mark.parametrize("pad", [None, "<|im_end|>"], ids=["no pad token", "pad is end of turn"])
def test_padding_is_never_the_end_of_a_turn(tmp_path: Path, pad: str | None) -> None:
    config = {"eos_token": "<|im_end|>", **({"pad_token": pad} if pad else {})}
    folder = write_model(tmp_path / "model", byte_level_bpe(), config=config)
    assert load_tokenizer(folder).pad_token == "<|endoftext|>"


def test_no_token_fit_for_padding_is_refused(tmp_path: Path) -> None:
    config = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    folder = write_model(tmp_path / "model", byte_level_bpe(), config=config)
    with pytest.raises(ModelError, match="no pad token apart from its end of text; set pad_token"):
        load_tokenizer(folder)


def test_a_tokenizer_that_cannot_be_read_is_a_model_error(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", byte_level_bpe())
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "NoSuch"}))
    with pytest.raises(ModelError, match="its tokenizer cannot be loaded"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"report_to": "swanlab"}, "pip install swanlab`, or drop it: metrics.jsonl", id="report"
        ),
        pytest.param(
            {"trainer": {"optim": "adamw_8bit"}}, "pip install bitsandbytes", id="8-bit optimiser"
        ),
    ],
)
def test_a_package_that_is_lacking_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trainer_options(recipe_of(**changes), CPU)


def test_metrics_go_where_the_recipe_says_and_nowhere_else() -> None:
    assert trainer_options(recipe_of(), CPU)["report_to"] == "none"


@pytest.mark.parametrize(("trainer", "rows"), [({}, 8), ({"per_device_train_batch_size": 2}, 2)])
def test_held_out_rows_are_read_in_batches_that_fitted_while_training(
    trainer: dict[str, int], rows: int
) -> None:
    options = trainer_options(recipe_of(trainer=trainer), CPU)
    assert options["per_device_eval_batch_size"] == rows
    assert recipe_of(report_to="wandb").report_to == ("wandb",)
    assert recipe_of(report_to="none").report_to == ()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(OSError(errno.ENOENT, "no such file"), ModelError, id="weights"),
        pytest.param(OSError(errno.ENOSPC, "No space left"), OSError, id="a full disk"),
        pytest.param(ValueError("no such layer"), ConfigError, id="settings"),
    ],
)
def test_what_a_library_refuses_is_told_as_whose_fault_it_is(
    tmp_path: Path, error: Exception, told: type[Exception]
) -> None:
    with pytest.raises(told) as caught, building_trainer(tmp_path):
        raise error
    assert type(caught.value) is told
