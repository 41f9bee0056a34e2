"""What a TRL trainer leaves behind when its reward stops it: a checkpoint of the last whole step.

A step that failed had drawn completions already. Random states are put back to where that step
began, so that the resumed run draws the very same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

from judges.errors import VerdictError
from training.online.waiting import RewardAway


class StepBegins(TrainerCallback):
    """Keeps the random states, and TRL's count of tokens, of the moment a step begins."""

    def __init__(self) -> None:
        self._kept: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Note where the generators stand."""
        import random

        import numpy as np
        import torch

        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self._kept = (
            state.global_step,
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
            devices,
            state.num_input_tokens_seen,
        )

    def put_back(self, state: Any) -> bool:
        """Go back to where a step that is not whole began; False when no step had begun.

        A step that is whole already, when only a look at it failed, stays.
        """
        if self._kept is None:
            return False
        done, python, numpy, cpu, devices, tokens = self._kept
        if state.global_step != done:
            return True
        import random

        import numpy as np
        import torch

        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        state.num_input_tokens_seen = tokens
        return True


@contextmanager
def leaving_checkpoint(trainer: Any) -> Iterator[None]:
    """Save the last whole step before a run stops by its reward, or by Ctrl-C.

    A reward may stay away, be no number, or be the same for all.

    With several processes, of which one may have stopped alone, the last regular checkpoint stands.
    """
    begins = StepBegins()
    trainer.add_callback(begins)
    try:
        yield
    except (RewardAway, VerdictError, KeyboardInterrupt):
        alone = trainer.accelerator.num_processes == 1
        if alone and trainer.state.global_step and begins.put_back(trainer.state):
            # Half a step's gradients belong to no checkpoint; the resumed step makes them anew.
            trainer._save_checkpoint(trainer.model, trial=None)
        raise
