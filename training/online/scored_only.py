"""TRL's group trainers, the unscored left out of the batch and equal groups counted.

TRL gives a completion without a reward the advantage 0. With `beta` it would still be held to the
reference, and its tokens, or it, would count in what the loss is divided by. Here a step has the
loss that it would have had without the unscored.
"""

from typing import Any

BY_TOKENS = ("bnpo", "cispo", "dapo", "vespo")
"""Losses of GRPO that are divided by the tokens learned from; the others by the completions."""


class ScoredOnly:
    """Mixin before a group trainer of TRL's."""

    model: Any
    accelerator: Any
    num_generations: int
    _metrics: Any

    def _calculate_rewards(self, *arguments: Any) -> Any:
        """TRL's rewards, of all processes; NaN where there is none. (B, functions)"""
        rewards_BF = super()._calculate_rewards(*arguments)  # type: ignore[misc]
        self._scored_B = ~rewards_BF.isnan().all(dim=1)
        if self.model.training:
            counts = self._metrics["train"]
            counts["unscored"].append(float((~self._scored_B).sum()))
            counts["groups/equal"].append(float(count_equal(rewards_BF, self.num_generations)))
        return rewards_BF

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        batch = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        batch["scored_share"] = self._scored_B.float().mean()
        if "num_items_in_batch" in batch:  # RLOO's loss is 0 already where the advantage is
            start = self.accelerator.process_index * len(inputs)
            own_B = self._scored_B[start : start + len(inputs)]
            mask_BT = batch["completion_mask"]
            # Not the completion mask, which is also what the policy may attend to: log-probs would
            # no longer be those that the draw had.
            batch["tool_mask"] = batch.get("tool_mask", mask_BT) * own_B[:, None]
            tokens = (mask_BT * batch["tool_mask"]).sum()
            batch["num_items_in_batch"] = self.accelerator.gather(tokens).sum()
        return batch

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        """TRL's loss, its mean over completions taken over the scored ones of all processes."""
        loss = super().compute_loss(model, inputs, *arguments, **named)  # type: ignore[misc]
        if getattr(self, "loss_type", "rloo") in BY_TOKENS:
            return loss
        return loss / inputs["scored_share"]

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
        """TRL's log, which would take the mean of what was counted since the last one."""
        counts = self._metrics["train"]
        if counts.get("unscored"):
            counts["unscored"] = [sum(counts["unscored"])]
        super().log(logs, *arguments, **named)  # type: ignore[misc]


def count_equal(rewards_BF: Any, size: int) -> int:
    """How many groups of `size` have no reward in which two scored completions differ."""
    groups_NGF = rewards_BF.view(-1, size, rewards_BF.shape[-1])
    highest_NF = groups_NGF.nan_to_num(nan=-float("inf")).amax(dim=1)
    lowest_NF = groups_NGF.nan_to_num(nan=float("inf")).amin(dim=1)
    return int((highest_NF <= lowest_NF).all(dim=1).sum())


def with_scored_only(trainer: type[Any]) -> type[Any]:
    """A group trainer of TRL's whose unscored completions leave the batch."""
    return type(trainer.__name__, (ScoredOnly, trainer), {})
