"""What a trainer reports as it goes: a line of metrics.jsonl a step, progress, and its end."""

from typing import Any

from transformers import TrainerCallback

from training.runs.run import Run

LOSSES = ("loss", "eval_loss")


class MetricsCallback(TrainerCallback):
    """Hands what the trainer logs to the run: its metrics, and its progress."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(
        self,
        args: Any,  # noqa: ARG002
        state: Any,
        control: Any,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **rest: Any,  # noqa: ARG002
    ) -> None:
        """One line of metrics; the trainer's closing statistics have no loss of a step."""
        if logs and state.is_world_process_zero and any(name in logs for name in LOSSES):
            self.run.log(state.global_step, state.max_steps, logs)


class NothingLeftError(Exception):
    """All steps of a run were done when it was stopped."""


class NothingLeftCallback(TrainerCallback):
    """Ends training before its first step where a checkpoint of the last step was read.

    transformers asks after each step whether it was the last, so it would do one more. By then the
    checkpoint's weights are in place.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        """Raises: NothingLeftError."""
        if 0 < state.max_steps <= state.global_step:
            raise NothingLeftError
