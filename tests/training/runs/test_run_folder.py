"""The run folder's promises: nothing overwritten, nothing lost, nothing half-read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from judges.errors import ConfigError, DataError
from training.methods.dpo import DpoRecipe
from training.runs.hardware import Hardware
from training.runs.manifest import Manifest
from training.runs.recipe import DataUsed
from training.runs.run_folder import RunFolder
from training.runs.trainer_options import trainer_options

CPU = Hardware(device="cpu", name="cpu", bfloat16=False)


def manifest_of(output: Path, sha256: str = "a" * 64, **changes: Any) -> Manifest:
    recipe = DpoRecipe(model="embedded", preferences=Path("p.jsonl"), output=output, **changes)
    return Manifest(
        method="dpo",
        recipe=recipe.model_dump(mode="json"),
        trainer=trainer_options(recipe, CPU),
        model_digest="m" * 64,
        data=(DataUsed(path="p.jsonl", sha256=sha256, rows=1),),
        hardware=CPU,
        processes=1,
        seed=recipe.seed,
        git_commit=None,
        versions={},
    )


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "run"


def started(output: Path) -> RunFolder:
    """A run folder after its first claim."""
    with RunFolder.claim(output, manifest_of(output), resume=False) as run:
        return run


def checkpoint(run: RunFolder, step: int, state: str | None = None) -> Path:
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    text = json.dumps({"global_step": step}) if state is None else state
    (folder / "trainer_state.json").write_text(text)
    return folder


def test_manifest_is_there_before_anything_else(output: Path) -> None:
    run = started(output)
    written = Manifest.model_validate_json((run.path / "manifest.json").read_bytes())
    assert written == manifest_of(output)


def test_folder_in_use_is_refused_even_to_resume(output: Path) -> None:
    with (
        RunFolder.claim(output, manifest_of(output), resume=False),
        pytest.raises(DataError, match="another process is training here"),
        RunFolder.claim(output, manifest_of(output), resume=True),
    ):
        pass


def test_folder_that_is_not_empty_is_refused_and_left_alone(output: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(DataError, match=r"not empty \(it holds thesis.txt\).*--resume"),
        RunFolder.claim(output, manifest_of(output), resume=False),
    ):
        pass
    assert (output / "thesis.txt").read_text() == "years of work"


def test_folder_of_something_else_cannot_be_resumed(output: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(DataError, match="no run to resume"),
        RunFolder.claim(output, manifest_of(output), resume=True),
    ):
        pass


def test_resuming_what_was_never_started_starts_it(output: Path) -> None:
    with RunFolder.claim(output, manifest_of(output), resume=True) as run:
        assert (run.path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"seed": 1}, "another seed (0, now 1)", id="seed"),
        pytest.param(
            {"trainer": {"beta": 0.2}}, "another trainer ({}, now {'beta': 0.2})", id="trainer"
        ),
        pytest.param({"lora": {"r": 4}}, "another lora (None, now", id="lora"),
        pytest.param({"sha256": "b" * 64}, "p.jsonl: changed since the run", id="preferences"),
    ],
)
def test_resuming_another_run_is_refused(
    output: Path, changes: dict[str, Any], message: str
) -> None:
    started(output)
    with (
        pytest.raises(ConfigError) as caught,
        RunFolder.claim(output, manifest_of(output, **changes), resume=True),
    ):
        pass
    assert message in str(caught.value)


def test_what_will_change_the_losses_is_told_and_kept(output: Path) -> None:
    run, same = started(output), manifest_of(output)
    assert run.note_changes(same, 4) == {}
    assert not (output / "resumed.jsonl").exists()
    versions = {"torch": "9"}
    other = same.model_copy(
        update={"processes": 8, "trainer": {**same.trainer, "bf16": True}, "versions": versions}
    )
    changed = run.note_changes(other, 4)
    assert changed == {
        "processes": (1, 8), "trainer.bf16": (False, True), "versions.torch": (None, "9"),
    }  # fmt: skip
    kept = json.loads((output / "resumed.jsonl").read_text())
    assert (kept["step"], kept["changed"]["processes"]) == (4, [1, 8])


def test_a_run_begun_without_telling_its_processes_is_gone_on_with(output: Path) -> None:
    run = started(output)
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["processes"]
    (output / "manifest.json").write_text(json.dumps(manifest))
    assert run.note_changes(manifest_of(output), 4) == {}


def test_folder_that_cannot_be_made_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "run"
    with (
        pytest.raises(DataError, match="cannot be made"),
        RunFolder.claim(output, manifest_of(output), resume=False),
    ):
        pass


def test_newest_checkpoint_is_by_step_not_by_name(output: Path) -> None:
    run = started(output)
    for step in (6, 12, 100):
        checkpoint(run, step)
    assert run.last_checkpoint(pytest.fail) == (100, run.checkpoints / "checkpoint-100")


@pytest.mark.parametrize(
    "state",
    ["", '{"global_step": 8, "log_hist', "[]", '{"global_step": 6}'],
    ids=["empty", "half a file", "not a state", "the state of another step"],
)
def test_half_written_checkpoint_is_put_aside_with_a_message(output: Path, state: str) -> None:
    run = started(output)
    whole = checkpoint(run, 6)
    checkpoint(run, 8, state)
    said: list[str] = []
    assert run.last_checkpoint(said.append) == (6, whole)
    assert len(said) == 1
    assert "half-written-8" in said[0]
    assert (run.checkpoints / "half-written-8" / "trainer_state.json").read_text() == state
    checkpoint(run, 8, state)
    run.last_checkpoint(said.append)
    assert (run.checkpoints / "half-written-8.1").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("left", [0.0, 0.03, 0.5])
def test_checkpoint_with_a_file_cut_short_is_put_aside(
    output: Path, name: str, left: float
) -> None:
    """As after a power cut: the last file was written, an earlier one never reached the disk."""
    run = started(output)
    folders = [checkpoint(run, step) for step in (6, 8)]
    for folder in folders:
        save_file({"w": torch.ones(9), "v": torch.ones(3)}, folder / "model.safetensors")
        torch.save({"w": torch.ones(9)}, folder / "optimizer.pt")
    assert run.last_checkpoint(pytest.fail) == (8, folders[1])
    torn = folders[1] / name
    torn.write_bytes(torn.read_bytes()[: int(left * torn.stat().st_size)])
    said: list[str] = []
    assert run.last_checkpoint(said.append) == (6, folders[0])
    assert "half-written-8" in said[0]


def test_no_checkpoint_is_none(output: Path) -> None:
    assert started(output).last_checkpoint(pytest.fail) is None


def test_metrics_after_the_checkpoint_are_cut_with_a_half_written_line(output: Path) -> None:
    run = started(output)
    for step in range(1, 5):
        run.append_metrics({"step": step, "loss": 1 / step})
    with run.metrics.open("a") as file:
        file.write('{"step": 5, "lo')
    run.cut_metrics(3)
    assert [line["step"] for line in run.read_metrics()] == [1, 2, 3]
    run.append_metrics({"step": 4, "loss": 0.25})
    assert [line["step"] for line in run.read_metrics()] == [1, 2, 3, 4]
