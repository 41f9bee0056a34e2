"""Ends a run of TRL's group methods whose reward tells nothing apart: it would learn nothing."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from judges.errors import VerdictError

EQUAL = "groups/equal"
"""Groups, over all processes, whose scored completions all have the same reward.

TRL's own `frac_reward_zero_std` tells it not: with RLOO it looks at rewards less the KL penalty,
with `scale_rewards = "batch"` or parts normalised apart at the whole batch.
"""


class ConstantReward(TrainerCallback):
    """Counts steps in a row of which every group's rewards were equal.

    It reads them from the trainer's own log, which checkpoints hold: a resumed run counts on.
    """

    def __init__(self, limit: int, message: Callable[[str], None]) -> None:
        """`limit`: the run ends after so many steps; 0: never."""
        self._limit, self._message = limit, message

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Look at the step just logged. Raises: VerdictError after too many."""
        lines = [line for line in state.log_history if EQUAL in line]
        groups = args.generation_batch_size // args.num_generations
        told_apart = [line["step"] for line in lines if line[EQUAL] < groups]
        equal = state.global_step - (told_apart[-1] if told_apart else 0)
        if not lines or lines[-1]["step"] != state.global_step or not equal:
            return
        if equal == args.logging_steps:
            self._message(
                f"training step {state.global_step}: the completions of each prompt all have the "
                f"same reward (mean {lines[-1]['reward']:.4g}): nothing can be learned from it"
            )
        if self._limit and equal >= self._limit:
            raise VerdictError(
                f"training step {state.global_step}: the reward was the same for all completions "
                f"of a prompt, {equal} steps in a row (mean now {lines[-1]['reward']:.4g}); look "
                "at [[rewards]], or set constant_steps = 0"
            )
