"""Putting a trained model where others read it: whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from training.runs.processes import Processes

NOT_PUBLISHED = ("README.md", "training_args.bin")
"""TRL's generic card and a pickle; both name folders of this machine."""


def publish(
    save: Callable[[str], None], folder: Path, model: str, processes: Processes | None = None
) -> None:
    """Save a model into a run folder, its config file last, so that it is there whole or not.

    All processes save, since each may hold a part of the weights; the first puts them in place.
    An adapter names its base as the recipe does: the folder of this machine means nothing on
    another.
    """
    processes = processes or Processes("cpu")
    unfinished = folder / ".model"
    if processes.is_main:
        shutil.rmtree(unfinished, ignore_errors=True)
    processes.wait()
    save(str(unfinished))
    processes.wait()
    if processes.is_main:
        _put_in_place(unfinished, folder, model)


def copying(source: Path) -> Callable[[str], None]:
    """What saves a model by copying one that is saved already."""

    def save(folder: str) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    return save


def _put_in_place(unfinished: Path, folder: Path, model: str) -> None:
    adapter = unfinished / "adapter_config.json"
    if adapter.exists():
        config = {**json.loads(adapter.read_text("utf-8")), "base_model_name_or_path": model}
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()  # PEFT writes a set, in any order
        adapter.write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")
    files = [file for file in unfinished.iterdir() if file.name not in NOT_PUBLISHED]
    for file in sorted(files, key=lambda file: file.name in ("adapter_config.json", "config.json")):
        file.replace(folder / file.name)
    shutil.rmtree(unfinished, ignore_errors=True)
