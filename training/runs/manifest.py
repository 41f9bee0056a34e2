"""The manifest: everything a run depends on, written before its first step."""

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judges.engine.command import installed_version
from judges.engine.embedded import weights_digest
from judges.errors import ConfigError
from judges.policies import model_folder
from judges.records import Record
from training.runs.hardware import Hardware, find_hardware
from training.runs.processes import Processes
from training.runs.recipe import DataUsed, RunRecipe
from training.runs.trainer_options import trainer_options

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


class Manifest(Record):
    """What a run is made of. A resumed run must have the same recipe, model and data."""

    method: str
    """How the model is trained."""
    recipe: dict[str, Any]
    """The recipe with overrides and defaults filled in."""
    trainer: dict[str, Any]
    """What the config class is given: the recipe's [trainer] and what the device asks for."""
    model_digest: str
    """Digest of the weights, tokenizer and chat template started from."""
    data: tuple[DataUsed, ...]
    """What it learns from."""
    hardware: Hardware
    """Where it runs."""
    processes: int
    """How many processes share each step."""
    seed: int
    """The seed of everything drawn."""
    git_commit: str | None
    """Commit of charter's own code, `-dirty` with uncommitted changes; null outside a clone."""
    versions: dict[str, str | None]
    """Python and the libraries that decide the numbers."""


def make_manifest(recipe: RunRecipe, data: Sequence[DataUsed] | None = None) -> Manifest:
    """The manifest of a run, made without starting it.

    Cost: reads data and weights; converts the embedded model when it is not in the cache.
    Raises: ConfigError, DataError and ModelError for what would stop the run at its start.
    """
    data = recipe.data_used() if data is None else data
    hardware = find_hardware(recipe.device)
    _check_positions(model_folder(recipe.model), recipe.max_length)
    return Manifest(
        method=recipe.METHOD,
        recipe=recipe.model_dump(mode="json"),
        trainer=trainer_options(recipe, hardware),
        model_digest=weights_digest(model_folder(recipe.model)),
        data=tuple(data),
        hardware=hardware,
        processes=Processes(hardware.device).count,
        seed=recipe.seed,
        git_commit=_git_commit(Path(__file__).parents[2]),
        versions={
            "python": platform.python_version(),
            **{name: installed_version(name) for name in LIBRARIES},
        },
    )


def _check_positions(folder: Path, max_length: int) -> None:
    """Refuse longer texts than a model has positions for: most libraries train on them silently,
    and engines then refuse to serve what came of it. Stretched positions are left to the library.

    Raises: ConfigError.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return
    config = {**config, **(config.get("text_config") or {})}
    known = config.get("max_position_embeddings")
    if not isinstance(known, int) or max_length <= known or _is_stretched(config):
        return
    raise ConfigError(
        f"max_length is {max_length}, but the model has positions for {known} tokens · {folder} · "
        f"lower max_length, or set rope_scaling in its config.json"
    )


def _is_stretched(config: Mapping[str, Any]) -> bool:
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    parts = [given, *(part for part in given.values() if isinstance(part, dict))]
    kinds = {part.get("rope_type", part.get("type", "default")) for part in parts}
    return kinds != {"default"}


def _git_commit(folder: Path) -> str | None:
    if not (folder / ".git").exists():
        return None  # a repository further up is the user's, not ours
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
