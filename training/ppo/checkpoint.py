"""Checkpoints of a PPO run: all that a step leaves to the next.

Prompts, completions and minibatches are drawn by seeds made of the step, so no random state is
kept. What is trained is saved, the frozen base is not.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from judges.errors import ModelError
from judges.records import Record
from training.ppo.learner import Learner

WEIGHTS, OPTIMISER, STATE = "trained.safetensors", "optimizer.pt", "ppo_state.json"
LAST_WRITTEN = "trainer_state.json"
"""Its presence says that the checkpoint is whole."""


class PpoState(Record):
    """Where a run stands, beside its weights."""

    step: int = 0
    """Steps done."""
    kl_coefficient: float
    """Of the next step, as adapted so far."""
    reward_centre: float | None = None
    """The mean reward of the reference's completions; None before it is known."""
    constant_steps: int = 0
    """Steps in a row in which all completions had the same reward."""
    completions: int = 0
    """Trained on so far."""
    unscored: int = 0
    """Left out so far for want of a reward."""


def save_checkpoint(learner: Learner, state: PpoState, folder: Path, keep: int) -> Path:
    """Write a checkpoint, and delete those beyond the latest `keep`."""
    path = folder / f"checkpoint-{state.step}"
    path.mkdir(parents=True, exist_ok=True)
    trained = learner.plain.trained_parameters()
    save_file({name: p.detach().contiguous() for name, p in trained.items()}, path / WEIGHTS)
    torch.save(learner.optimizer.state_dict(), path / OPTIMISER)
    (path / STATE).write_text(state.model_dump_json(indent=2))
    (path / LAST_WRITTEN).write_text(json.dumps({"global_step": state.step}))
    _forget_old(folder, keep)
    return path


def load_checkpoint(learner: Learner, path: Path) -> PpoState:
    """Put weights and optimiser back as they were; returns where the run stood.

    Raises: ModelError when the checkpoint is of other weights.
    """
    saved = load_file(path / WEIGHTS)
    trained = learner.plain.trained_parameters()
    if saved.keys() != trained.keys():
        raise ModelError(
            f"{path}: holds other weights than this recipe trains; resume with the recipe it was "
            "made by"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(saved[name])
    device = learner.accelerator.device
    learner.optimizer.load_state_dict(
        torch.load(path / OPTIMISER, map_location=device, weights_only=True)
    )
    return PpoState.model_validate_json((path / STATE).read_bytes())


def _forget_old(folder: Path, keep: int) -> None:
    def step(path: Path) -> int:
        return int(path.name.rpartition("-")[2])

    for old in sorted(folder.glob("checkpoint-*"), key=step)[:-keep]:
        # The file that makes it whole first: killed in between, it counts as half-written.
        (old / LAST_WRITTEN).unlink(missing_ok=True)
        shutil.rmtree(old)
