"""What every method owes: it learns, resumes exactly, tells what it lost, stops when ruined."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from judges.errors import ConfigError, DataError, ModelError
from tests.training.tiny_policy import SETTINGS, make_policy, make_preferences
from training.methods.displacement import FALL, METRIC
from training.methods.dpo import DpoRecipe, train_dpo
from training.methods.kto import KtoRecipe, train_kto
from training.methods.pairs import train_pairs
from training.methods.reference_free import AlphaPoRecipe, CpoRecipe, OrpoRecipe, SimpoRecipe
from training.methods.sft import SftRecipe, train_sft

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A method, and how it is tried."""

    kind: Any
    train: Callable[..., Any]
    data: str
    extra: dict[str, Any]


METHODS = {
    "sft": Case(SftRecipe, train_sft, "examples", {}),
    "dpo": Case(DpoRecipe, train_dpo, "preferences", {}),
    "dpo, ipo": Case(DpoRecipe, train_dpo, "preferences", {"loss": "ipo"}),
    "kto": Case(KtoRecipe, train_kto, "examples", {}),
    "orpo": Case(OrpoRecipe, train_pairs, "preferences", {}),
    "cpo": Case(CpoRecipe, train_pairs, "preferences", {}),
    "simpo": Case(SimpoRecipe, train_pairs, "preferences", {}),
    "alphapo": Case(AlphaPoRecipe, train_pairs, "preferences", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("methods")
    make_policy(folder / "model")
    make_preferences(folder / "preferences.jsonl")
    return folder


def recipe_of(name: str, folder: Path, output: Path, **changes: Any) -> Any:
    case = METHODS[name]
    trainer = {**SETTINGS, "bf16": False, **changes.pop("trainer", {})}
    values = {
        "model": folder / "model", "output": output, "device": "cpu", "lora": {"r": 4, "alpha": 8},
        case.data: folder / "preferences.jsonl", "trainer": trainer,
    }  # fmt: skip
    values["model"] = str(values["model"])
    return case.kind.model_validate({**values, **case.extra, **changes})


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class KilledError(Exception):
    """Stands for a signal that no handler sees."""


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_and_goes_on_with_the_same_losses(
    name: str, folder: Path, tmp_path: Path
) -> None:
    train = METHODS[name].train
    whole = recipe_of(name, folder, tmp_path / "whole")
    summary = train(whole, message=lambda _: None)
    lines = metrics(whole.output)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert summary.last_loss < summary.first_loss
    if "rewards/margins" in lines[-1]:
        assert lines[-1]["rewards/margins"] > lines[0]["rewards/margins"]

    def kill(step: int, _total: int, _loss: float) -> None:
        if step == 5:
            raise KilledError

    cut = recipe_of(name, folder, tmp_path / "cut")
    with pytest.raises(KilledError):
        train(cut, progress=kill, message=lambda _: None)
    again = train(cut, resume=True, message=lambda _: None)
    assert metrics(cut.output) == lines
    assert (again.rows, again.steps) == (summary.rows, 6)
    weights = "adapter_model.safetensors"
    assert (cut.output / weights).read_bytes() == (whole.output / weights).read_bytes()


def test_displacement_is_told_at_the_same_step_of_a_run_that_was_killed(
    folder: Path, tmp_path: Path
) -> None:
    file = make_preferences(tmp_path / "against.jsonl", p_chosen=0.0)  # what is chosen must fall
    trainer = {"max_steps": 12, "save_steps": 6}
    changes = {"preferences": file, "lora": None, "trainer": trainer}

    def fallen(output: str, **more: Any) -> list[str]:
        said: list[str] = []
        recipe = recipe_of("dpo", folder, tmp_path / output, **changes)
        train_dpo(recipe, message=said.append, **more)
        return [text for text in said if "likelihood displacement" in text]

    def kill(step: int, _total: int, _loss: float) -> None:
        if step == 7:
            raise KilledError

    (told,) = fallen("whole")
    moved = [line[METRIC] for line in metrics(tmp_path / "whole")]
    assert moved[0] == pytest.approx(0, abs=1e-4)
    assert max(moved[4:]) < -FALL
    assert told.startswith("step 8: ")
    with pytest.raises(KilledError):
        fallen("cut", progress=kill)
    assert fallen("cut", resume=True) == [told]


@pytest.mark.parametrize("name", ["sft", "kto", "simpo"])
def test_a_ruined_run_stops_and_names_rows(name: str, folder: Path, tmp_path: Path) -> None:
    wild = recipe_of(
        name, folder, tmp_path / "wild", trainer={"learning_rate": 1e30, "max_grad_norm": 0.0}
    )
    with pytest.raises(ModelError, match=r"training step \d: .* on .*preferences.jsonl:\d+"):
        METHODS[name].train(wild, message=lambda _: None)


@pytest.mark.parametrize(("name", "max_length"), [("sft", 24), ("kto", 28)])
def test_rows_that_do_not_fit_are_counted_named_and_bounded(
    name: str, max_length: int, folder: Path, tmp_path: Path
) -> None:
    long = {"prompt": "Which is better? " * 50, "chosen": "Be kind.", "rejected": "No."}
    text = (folder / "preferences.jsonl").read_text() + json.dumps({**long, "p_chosen": 0.9}) + "\n"
    file = tmp_path / "with_long.jsonl"
    file.write_text(text)
    case = METHODS[name]
    said: list[str] = []
    changes = {case.data: file, "max_length": max_length, "max_dropped": 0.2}
    recipe = recipe_of(
        name, folder, tmp_path / "run", max_cut=1.0, **changes, trainer={"max_steps": 1}
    )
    summary = case.train(recipe, message=said.append)
    lost = 1 if name == "sft" else 2
    assert (summary.rows_dropped, summary.rows) == (lost, lost * 16)
    assert any(f"{lost} of {lost * 17} rows are dropped" in text for text in said)
    assert any(f"{file}:17" in text for text in said)
    tight = recipe_of(name, folder, tmp_path / "tight", max_cut=0.0, **changes)
    with pytest.raises(DataError, match="more than max_cut = 0 allows"):
        case.train(tight, message=lambda _: None)
    nothing = recipe_of(name, folder, tmp_path / "none", **{**changes, "max_length": 3})
    with pytest.raises(ConfigError, match="nothing is left to train on"):
        case.train(nothing, message=lambda _: None)


@pytest.mark.parametrize("name", ["sft", "kto", "dpo"])
def test_rows_held_out_that_do_not_fit_are_told(name: str, folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = recipe_of(
        name, folder, tmp_path / "run", max_length=26, max_cut=1.0, held_out_share=0.5,
        trainer={"max_steps": 1},
    )  # fmt: skip
    METHODS[name].train(recipe, message=said.append)
    assert any(
        re.search(r"of \d+ rows held out are cut off at max_length: \S+jsonl:\d", one)
        for one in said
    )


def test_only_completions_are_learnt_from(folder: Path, tmp_path: Path) -> None:
    from training.methods.sft import tokenise
    from training.runs.loading import load_tokenizer

    recipe = recipe_of("sft", folder, tmp_path / "run")
    data, tokenizer = recipe.data(), load_tokenizer(folder / "model")
    columns, _ = tokenise(tokenizer, data, data.train, 1000)
    masked = [
        token
        for token, mine in zip(columns["input_ids"][0], columns["completion_mask"][0], strict=True)
        if mine
    ]
    assert tokenizer.decode(masked) == "Be brief, be kind.<|im_end|>\n"


def test_held_out_prompts_are_evaluated_and_never_trained_on(folder: Path, tmp_path: Path) -> None:
    trainer = {"eval_strategy": "steps", "eval_steps": 3}
    recipe = recipe_of("dpo", folder, tmp_path / "run", held_out_share=0.3, trainer=trainer)
    summary = train_dpo(recipe, message=lambda _: None)
    assert 0 < summary.rows < 16
    evaluated = [line for line in metrics(recipe.output) if "eval_loss" in line]
    assert [line["step"] for line in evaluated] == [3, 6]
    assert evaluated[1]["eval_loss"] < evaluated[0]["eval_loss"]
    assert summary.held_out_loss == evaluated[1]["eval_loss"]


@pytest.mark.parametrize("name", ["sft", "dpo", "kto", "orpo"])
def test_held_out_rows_are_measured_after_the_last_step(
    name: str, folder: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(name, folder, tmp_path / "run", held_out_share=0.3)
    summary = METHODS[name].train(recipe, message=lambda _: None)
    (line,) = [line for line in metrics(recipe.output) if "eval_loss" in line]
    assert line["step"] == summary.steps
    assert summary.held_out_loss == line["eval_loss"]
    assert 0 < line["eval_loss"] < 10


@pytest.mark.parametrize("name", ["orpo", "cpo", "simpo"])
def test_no_reference_model_is_kept(name: str, folder: Path, tmp_path: Path) -> None:
    from training.methods.pairs import make_trainer
    from training.runs.manifest import make_manifest
    from training.runs.run import Run, quieten_libraries
    from training.runs.run_folder import RunFolder

    quieten_libraries()
    recipe = recipe_of(name, folder, tmp_path / "run", lora=None)
    data = recipe.data()
    run = Run(make_manifest(recipe, data.used), RunFolder(tmp_path), lambda *_: None, print)
    trainer = make_trainer(recipe, data, run)
    assert trainer.ref_model is None
    assert "ref_chosen_logps" not in trainer.train_dataset.column_names


@pytest.mark.parametrize(
    "option", [{"gradient_checkpointing": True}, {"optim": "adamw_torch_fused"}]
)
def test_options_that_save_memory_or_time_change_no_loss(
    option: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    losses = []
    for name, trainer in (("plain", {}), ("with", option)):
        recipe = recipe_of("dpo", folder, tmp_path / name, trainer={"max_steps": 2, **trainer})
        train_dpo(recipe, message=lambda _: None)
        losses.append([line["loss"] for line in metrics(recipe.output)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
