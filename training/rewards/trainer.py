"""The trainer of reward models: transformers' own, on batches of whole prompts.

The model is a plain sequence classifier with an output for each head, so that DDP, FSDP, DeepSpeed,
adapters, gradient checkpointing and export work as for any other. Scopes are judged by the prompt
alone, which is one more text in the batch: what a server is asked later is what was trained.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Trainer

from training.rewards.length_order import LengthOrder
from training.rewards.losses import centring_loss, label_entropy, ranking_loss, scope_loss
from training.runs.watched_trainer import WatchedTrainer


class RewardTrainer(WatchedTrainer, Trainer):
    """Trains the heads on all pairs of each prompt; a loss that is no number ends the run."""

    def __init__(
        self, *arguments: Any, centring: float, scope_heads: Sequence[int], **named: Any
    ) -> None:
        """`scope_heads` are the label heads that have a scope; their outputs follow all others."""
        super().__init__(*arguments, **named)
        self.centring, self.scope_heads = centring, list(scope_heads)
        # Our loss is a mean over prompts: of accumulated batches it is averaged, not summed.
        self.model_accepts_loss_kwargs = False
        self._sums: dict[str, list[float]] = defaultdict(list)

    def _loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        *_rest: Any,
        **_named: Any,
    ) -> Any:
        output_SH = read_outputs(model, inputs)
        p_BHNN, applies_BH = inputs["p"], inputs["applies"]
        heads = p_BHNN.shape[1]
        present_BN = inputs["place"] >= 0
        reward_BHN = output_SH[inputs["place"].clamp(min=0), :heads].movedim(-1, 1)
        # Where it is not known whether a principle applies, nothing is learnt of it.
        weight_BH = torch.nan_to_num(applies_BH, nan=0.0)
        ranking = ranking_loss(reward_BHN, p_BHNN, weight_BH)
        loss = ranking + self.centring * centring_loss(reward_BHN, present_BN)
        if self.scope_heads:
            scope_BH = output_SH[inputs["prompt_place"], heads:]
            loss = loss + scope_loss(scope_BH, applies_BH[:, self.scope_heads])
        with torch.no_grad():
            self._note(ranking.detach(), reward_BHN, p_BHNN, weight_BH, present_BN)
        return (loss, {"logits": output_SH}) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Our own order where batches of like length are asked for."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        prompts = self.train_dataset if train_dataset is None else train_dataset
        lengths = [max(map(len, prompt.texts)) for prompt in prompts]
        batch = self.args.train_batch_size * self.args.world_size
        return LengthOrder(lengths, batch, self.args.seed)

    def _note(
        self,
        ranking: torch.Tensor,
        reward_BHN: torch.Tensor,
        p_BHNN: torch.Tensor,
        weight_BH: torch.Tensor,
        present_BN: torch.Tensor,
    ) -> None:
        """What is logged beside the loss, without waiting for the device."""
        gap = reward_BHN.unsqueeze(-1) - reward_BHN.unsqueeze(-2)
        told = ~torch.isnan(p_BHNN) & (p_BHNN > 0.5)
        right = (told & (gap > 0)).sum() + 0.5 * (told & (gap == 0)).sum()
        present = present_BN.unsqueeze(1).expand_as(reward_BHN)
        self._sums["pairs_right"].append(right)
        self._sums["pairs_told"].append(told.sum())
        self._sums["reward_sum"].append((reward_BHN * present).sum())
        self._sums["rewards"].append(present.sum())
        self._sums["excess"].append(ranking - label_entropy(p_BHNN, weight_BH))

    def log(self, logs: dict[str, float], *rest: Any, **named: Any) -> None:
        """Adds accuracy on the pairs just trained on, mean reward, and loss above label doubt."""
        if "loss" in logs and self._sums:
            total = {name: float(sum(values)) for name, values in self._sums.items()}
            logs |= {
                "accuracy": total["pairs_right"] / max(total["pairs_told"], 1),
                "reward": total["reward_sum"] / max(total["rewards"], 1),
                "excess_loss": total["excess"] / len(self._sums["excess"]),
            }
            self._sums.clear()
        super().log(logs, *rest, **named)


def read_outputs(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The raw outputs of each text in a batch, in float32. Shapes: (S, H)."""
    if "features" in inputs:
        return model(inputs["features"]).float()
    outputs = model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
    )
    return outputs.logits.float()
