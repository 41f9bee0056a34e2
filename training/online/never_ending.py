"""Tells once of a run of TRL's group methods whose completions are all cut off."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

CUT_OFF = "completions/clipped_ratio"
"""TRL's share of completions, over all processes, that max_completion_length cut off."""


class NeverEnding(TrainerCallback):
    """Looks for a step of which no completion ended by itself."""

    def __init__(self, message: Callable[[str], None]) -> None:
        self._message, self._told = message, False

    def on_log(self, args: Any, state: Any, _control: Any, logs: Any, **_: Any) -> None:
        """Look at the step just logged."""
        if self._told or logs.get(CUT_OFF) != 1:
            return
        self._told = True
        self._message(
            f"training step {state.global_step}: all completions were cut off at "
            f"{args.max_completion_length} tokens; raise max_completion_length, or reward an end, "
            "as training/online/README.md says"
        )
