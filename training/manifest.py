"""The manifest: everything a run depends on, written before its first step."""

import platform
import subprocess
from pathlib import Path
from typing import Any, Literal

from judges.engine.command import installed_version
from judges.engine.embedded import weights_digest
from judges.errors import ConfigError
from judges.policies import model_folder
from judges.records import Record
from training.hardware import Hardware, find_hardware
from training.preference_data import PreferenceSet, read_preferences
from training.recipe import DpoRecipe

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


class PreferencesUsed(Record):
    """The data of a run."""

    path: str
    """The file read."""
    sha256: str
    """Digest of its bytes."""
    rows: int
    """Pairs in it."""
    digests: dict[str, tuple[str, ...]]
    """Constitution, judge and calibration digests that its rows name."""


class Manifest(Record):
    """What a run is made of. A resumed run must have the same recipe, model and preferences."""

    method: Literal["dpo"]
    """How the policy is trained."""
    recipe: DpoRecipe
    """The recipe with overrides and defaults filled in."""
    trainer: dict[str, Any]
    """What trl.DPOConfig is given: the recipe's [trainer] and what the device asks for."""
    model_digest: str
    """Digest of the weights, tokenizer and chat template started from."""
    preferences: PreferencesUsed
    """What it learns from."""
    hardware: Hardware
    """Where it runs."""
    seed: int
    """The seed of everything drawn."""
    git_commit: str | None
    """Commit of charter's own code, `-dirty` with uncommitted changes; null outside a clone."""
    versions: dict[str, str | None]
    """Python and the libraries that decide the numbers."""


def make_manifest(recipe: DpoRecipe, preferences: PreferenceSet | None = None) -> Manifest:
    """The manifest of a run, made without starting it.

    Cost: reads preferences and weights; converts the embedded model when it is not in the cache.
    Raises: ConfigError, DataError and ModelError for what would stop the run at its start.
    """
    preferences = preferences or read_preferences(recipe.preferences, recipe.labels)
    hardware = find_hardware(recipe.device)
    return Manifest(
        method="dpo",
        recipe=recipe,
        trainer=trainer_options(recipe, hardware),
        model_digest=weights_digest(model_folder(recipe.model)),
        preferences=PreferencesUsed(
            path=str(preferences.path),
            sha256=preferences.sha256,
            rows=len(preferences.pairs),
            digests=preferences.digests,
        ),
        hardware=hardware,
        seed=recipe.seed,
        git_commit=_git_commit(Path(__file__).parents[1]),
        versions={
            "python": platform.python_version(),
            **{name: installed_version(name) for name in LIBRARIES},
        },
    )


def trainer_options(recipe: DpoRecipe, hardware: Hardware) -> dict[str, Any]:
    """What trl.DPOConfig is given.

    TRL's own defaults are bfloat16 and gradient checkpointing everywhere: several times slower on
    a CPU without bfloat16, and needless where memory is plenty.
    Raises: ConfigError when the recipe asks for bfloat16 where the hardware lacks it.
    """
    loaded = (recipe.trainer.get("model_init_kwargs") or {}).get("dtype", "float32")
    if not hardware.bfloat16 and (recipe.trainer.get("bf16") or loaded == "bfloat16"):
        raise ConfigError(
            f"[trainer] asks for bfloat16, but {hardware.name} multiplies it many times slower "
            "than float32; drop bf16 and model_init_kwargs.dtype"
        )
    return {
        "bf16": hardware.bfloat16,
        "gradient_checkpointing": hardware.device == "cuda",
        "dataloader_pin_memory": hardware.device == "cuda",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        **recipe.trainer,
        "output_dir": str(recipe.output / "checkpoints"),
        "seed": recipe.seed,
        "max_length": recipe.max_length,
        "use_cpu": hardware.device == "cpu",
    }


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
