"""Whole runs on a tiny policy: it learns, survives kills and full disks, and says what it cut."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from judges.errors import ConfigError, DataError, ModelError
from tests.training.tiny_policy import make_policy, make_preferences, make_recipe
from training.methods.dpo import DpoRecipe, train_dpo
from training.runs.run import RunSummary

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> DpoRecipe:
    make_preferences(tmp_path / "preferences.jsonl")
    return make_recipe(tmp_path, model=str(model))


def change(recipe: DpoRecipe, **changes: Any) -> DpoRecipe:
    trainer = {**recipe.trainer, **changes.pop("trainer", {})}
    return DpoRecipe.model_validate({**recipe.model_dump(), **changes, "trainer": trainer})


def metrics(recipe: DpoRecipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (recipe.output / "metrics.jsonl").read_text().splitlines()]


def silent(text: str) -> None:
    assert text


def test_loss_falls_and_margin_grows(recipe: DpoRecipe) -> None:
    seen: list[tuple[int, int, float]] = []
    summary = train_dpo(recipe, progress=lambda *step: seen.append(step), message=silent)
    lines = metrics(recipe)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert seen == [(line["step"], 6, line["loss"]) for line in lines]
    assert lines[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert lines[-1]["loss"] < 0.62
    assert lines[-1]["rewards/margins"] > 0.2
    assert (summary.steps, summary.rows, summary.last_loss) == (6, 16, lines[-1]["loss"])


def test_metrics_are_reported_live_where_the_recipe_says(recipe: DpoRecipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reported = change(recipe, report_to=("tensorboard",), trainer={"max_steps": 3})
    train_dpo(reported, message=silent)
    (events,) = recipe.output.rglob("*tfevents*")
    told = EventAccumulator(str(events)).Reload()
    losses = [event.value for event in told.Scalars("train/loss")]
    assert losses == pytest.approx([line["loss"] for line in metrics(recipe)])
    assert "train/rewards/margins" in told.Tags()["scalars"]


def test_run_folder_is_an_adapter_that_names_its_base_as_given(
    recipe: DpoRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(recipe.model)
    monkeypatch.chdir(model.parent)
    train_dpo(change(recipe, model=model.name, trainer={"max_steps": 1}), message=silent)
    adapter = json.loads((recipe.output / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == model.name
    assert adapter["target_modules"] == sorted(adapter["target_modules"])
    names = {file.name for file in recipe.output.iterdir()}
    assert {"adapter_model.safetensors", "manifest.json", "metrics.jsonl", "summary.json"} <= names
    for file in recipe.output.glob("*.json*"):
        assert str(model.parent) not in file.read_text(), file.name
    tokenizer = json.loads((recipe.output / "tokenizer_config.json").read_text())
    assert tokenizer["pad_token"] == "<|endoftext|>"


def test_full_weights_and_hard_labels_give_a_whole_model(recipe: DpoRecipe) -> None:
    train_dpo(change(recipe, lora=None, labels="hard", trainer={"max_steps": 2}), message=silent)
    assert (recipe.output / "model.safetensors").exists()
    assert (recipe.output / "config.json").exists()
    assert metrics(recipe)[1]["loss"] < metrics(recipe)[0]["loss"]


def test_killed_run_goes_on_with_the_same_losses(recipe: DpoRecipe, tmp_path: Path) -> None:
    whole = change(recipe, output=tmp_path / "whole")
    train_dpo(whole, message=silent)
    code = (
        "import os, sys\n"
        "from training.methods.dpo import DpoRecipe, train_dpo\n"
        "def kill(step, total, loss):\n"
        "    if step == 5: os.kill(os.getpid(), 9)\n"
        "train_dpo(DpoRecipe.model_validate_json(sys.argv[1]), progress=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, recipe.model_dump_json()], cwd=Path(__file__).parents[3]
    )
    assert done.returncode == -signal.SIGKILL
    assert [line["step"] for line in metrics(recipe)] == [1, 2, 3, 4, 5]
    assert not (recipe.output / "adapter_config.json").exists()
    said: list[str] = []
    train_dpo(recipe, resume=True, message=said.append)
    assert said == [f"{recipe.output}: going on from the checkpoint of step 4"]
    assert metrics(recipe) == metrics(whole)
    weights = "adapter_model.safetensors"
    assert (recipe.output / weights).read_bytes() == (whole.output / weights).read_bytes()


def test_half_written_checkpoint_is_passed_over_and_finished_run_returned(
    recipe: DpoRecipe,
) -> None:
    first = train_dpo(recipe, message=silent)
    before = metrics(recipe)
    (recipe.output / "summary.json").unlink()
    for step in (4, 6):
        state = recipe.output / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json"
        state.write_text(state.read_text()[:100])
    said: list[str] = []
    again = train_dpo(recipe, resume=True, message=said.append)
    assert [text.partition(":")[2] for text in said] == [
        " half-written and ignored; it is half-written-4 now, delete it",
        " half-written and ignored; it is half-written-6 now, delete it",
        " going on from the checkpoint of step 2",
    ]
    assert metrics(recipe) == before
    assert again.last_loss == first.last_loss
    said.clear()
    assert train_dpo(recipe, resume=True, message=said.append) == again
    assert said == [f"{recipe.output}: this run is finished already"]


def test_full_disk_leaves_the_last_checkpoint_whole(recipe: DpoRecipe) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk(step: int, _total: int, _loss: float) -> None:
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))

    try:
        with pytest.raises(DataError, match="disk is full; the checkpoint of step 2 is whole"):
            train_dpo(recipe, progress=fill_disk, message=silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    summary = train_dpo(recipe, resume=True, message=silent)
    assert summary.steps == 6


def test_diverging_run_stops_and_names_rows(recipe: DpoRecipe) -> None:
    wild = change(recipe, trainer={"learning_rate": 1e30, "max_grad_norm": 0.0})
    with pytest.raises(ModelError, match=r"training step \d: .* on .*preferences.jsonl:\d+"):
        train_dpo(wild, message=silent)
    assert not (recipe.output / "adapter_config.json").exists()


def test_dropped_and_cut_pairs_are_counted(recipe: DpoRecipe) -> None:
    file = recipe.preferences[0].path
    lines = file.read_text().splitlines()
    long = json.loads(lines[0])
    long["prompt"][0]["content"] = "Which is better? " * 50
    file.write_text("\n".join([*lines, json.dumps(long)]) + "\n")
    said: list[str] = []
    short = change(recipe, max_length=28, max_dropped=0.1, max_cut=1.0, trainer={"max_steps": 1})
    summary = train_dpo(short, message=said.append)
    assert (summary.rows, summary.rows_dropped) == (16, 1)
    assert 0 < summary.rows_cut < 16
    assert said[0] == (
        f"1 of 17 rows are dropped: their prompt fills 28 tokens (max_length): {file}:17"
    )
    assert said[1].startswith(f"{summary.rows_cut} of 17 rows are cut off")
    for limit in ("max_dropped", "max_cut"):
        tight = change(short, output=recipe.output.with_name(limit), **{limit: 0.01})
        with pytest.raises(DataError, match=f"more than {limit} = 0.01 allows"):
            train_dpo(tight, message=silent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"max_length": 3}, "every prompt is that long", id="max_length"),
        pytest.param({"lora": {"target_modules": ["q_porj"]}}, "q_porj", id="no such layer"),
        pytest.param({"trainer": {"lr_scheduler_type": "wavy"}}, "wavy", id="no such schedule"),
        pytest.param({"trainer": {"bf16": True}}, "bfloat16", id="bfloat16 on this CPU"),
    ],
)
def test_recipes_that_cannot_be_run_are_config_errors(
    recipe: DpoRecipe, changes: dict[str, Any], message: str
) -> None:
    if message == "bfloat16" and "avx512_bf16" in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU multiplies bfloat16")
    with pytest.raises(ConfigError, match=message):
        train_dpo(change(recipe, **changes), message=silent)


def test_corrupt_weights_are_a_model_error(tmp_path: Path, recipe: DpoRecipe) -> None:
    broken = make_policy(tmp_path / "broken")
    os.truncate(broken / "model.safetensors", 1000)
    with pytest.raises(ModelError, match=r"broken: this model cannot be loaded"):
        train_dpo(change(recipe, model=str(broken)), message=silent)


def test_summary_on_disk_is_the_one_returned(recipe: DpoRecipe) -> None:
    summary = train_dpo(change(recipe, trainer={"max_steps": 1}), message=silent)
    stored = (recipe.output / "summary.json").read_bytes()
    assert RunSummary.model_validate_json(stored) == summary
