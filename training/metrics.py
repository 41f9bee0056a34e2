"""What a trainer reports as it goes: a line of metrics.jsonl a step, and progress."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from training.run_folder import RunFolder


class MetricsCallback(TrainerCallback):
    """Appends what the trainer logs to the run's metrics, and calls `progress` after each step."""

    def __init__(self, run: RunFolder, progress: Callable[[int, int, float], None]) -> None:
        self.run = run
        self.progress = progress

    def on_log(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **rest: Any,  # noqa: ARG002
    ) -> None:
        """One line of metrics; the trainer's closing statistics have no loss of a step."""
        if logs and "loss" in logs:
            self.run.append_metrics({"step": state.global_step, **logs})
            self.progress(state.global_step, state.max_steps, float(logs["loss"]))
