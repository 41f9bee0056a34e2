"""TRL's DPOTrainer with charter's losses: soft labels, weights a pair, with or without a reference.

TRL makes the batches, runs the model with its fused head (no logits of the whole vocabulary are
kept), precomputes reference log-probabilities where asked to, and logs. The loss is computed here,
from the token log-probabilities of TRL's own forward pass, so nothing is computed twice.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from trl import DPOTrainer

from training.methods.loss_settings import LossSettings
from training.methods.pair_losses import PairLogProbs, likelihood_loss, pair_losses, scores
from training.runs.watched_trainer import WatchedTrainer, without

LABELS = ("p_chosen", "weight")


class PairTrainer(WatchedTrainer, DPOTrainer):
    """TRL's trainer for rows with `row`, `p_chosen` and `weight`.

    With `loss=None` labels are left aside, and the loss is whatever TRL is told.
    """

    OUR_COLUMNS = ("row", *LABELS)
    _metrics: dict[str, defaultdict[str, list[float]]]

    def __init__(
        self,
        *arguments: Any,
        loss: LossSettings | None,
        places: Callable[[list[int]], str],
        **named: Any,
    ) -> None:
        self.loss = loss
        super().__init__(*arguments, places=places, **named)
        if loss is not None:
            # Every batch then carries its reference log-probabilities: ours, or TRL's own
            # precomputed ones.
            self.precompute_ref_logps = True

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        if self.loss is not None and not self.loss.needs_reference:
            return dataset
        return super()._precompute_ref_logps(dataset, name, batch_size)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """TRL's reference log-probabilities. Shapes: chosen [B], rejected [B]."""
        return super().compute_ref_log_probs(model, without(inputs, self.OUR_COLUMNS))

    def _loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, *rest: Any,
        **named: Any,
    ) -> Any:  # fmt: skip
        batch = without(inputs, LABELS)
        if self.loss is None:
            return super()._loss(model, batch, return_outputs, *rest, **named)
        self._add_reference(batch, self.loss)
        seen: list[Any] = []

        def watched(**named: Any) -> Any:
            seen.append(model(**named))
            return seen[-1]

        answer = super()._loss(watched, batch, return_outputs)
        logps_BT, mask_BT = _completion_tokens(seen[0], batch)
        logps = self._sums(logps_BT, mask_BT, batch)
        p_B, weight_B = (inputs[name] for name in LABELS)
        loss = self.loss.pair_weight * (weight_B * pair_losses(logps, p_B, self.loss)).mean()
        if self.loss.nll_weight:
            sum_B, tokens_B = (logps_BT * mask_BT).sum(dim=1), mask_BT.sum(dim=1)
            nll = likelihood_loss(sum_B, tokens_B, p_B, weight_B)
            loss = loss + self.loss.nll_weight * nll
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * seen[0].aux_loss
        self._log_pairs(logps, self.loss)
        return (loss, answer[1]) if return_outputs else loss

    def _add_reference(self, batch: dict[str, Any], loss: LossSettings) -> None:
        if not loss.needs_reference:
            pairs = batch["input_ids"].shape[0] // 2
            nothing = torch.zeros(pairs, device=batch["input_ids"].device)
            batch["ref_chosen_logps"] = batch["ref_rejected_logps"] = nothing
        elif "ref_chosen_logps" not in batch:
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.compute_ref_log_probs(
                self.ref_model or self.model, batch
            )

    def _sums(self, logps_BT: Tensor, mask_BT: Tensor, batch: dict[str, Any]) -> PairLogProbs:
        """Sums over completions, beside the reference's."""
        chosen_B, rejected_B = (logps_BT * self._token_weights(mask_BT)).sum(dim=1).chunk(2)
        return PairLogProbs(
            chosen_B, rejected_B, batch["ref_chosen_logps"], batch["ref_rejected_logps"],
            *mask_BT.sum(dim=1).chunk(2),
        )  # fmt: skip

    def _token_weights(self, mask_BT: Tensor) -> Tensor:
        """1, or TRL's `ld_alpha` past the shorter completion's length (LD-DPO, 2409.06411)."""
        if self.ld_alpha is None:
            return mask_BT
        place_BT = mask_BT.cumsum(dim=1)
        shared_B = torch.minimum(*mask_BT.sum(dim=1).chunk(2)).repeat(2)
        tail_BT = (place_BT > shared_B[:, None]) * mask_BT
        return mask_BT - (1 - self.ld_alpha) * tail_BT

    def _log_pairs(self, logps: PairLogProbs, loss: LossSettings) -> None:
        """Log how far the chosen side's likelihood moved; without a reference, its own rewards."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        moved_B = logps.chosen_B.detach() - logps.reference_chosen_B
        per_token = (moved_B / logps.chosen_tokens_B.clamp(min=1)).mean()
        metrics["logps/chosen_per_token"].append(self._over_processes(per_token))
        if loss.needs_reference:
            return
        chosen_B, rejected_B = (score_B.detach() for score_B in scores(logps, loss))
        told = {
            "rewards/chosen": chosen_B.mean(),
            "rewards/rejected": rejected_B.mean(),
            "rewards/margins": (chosen_B - rejected_B).mean(),
            "rewards/accuracies": (chosen_B > rejected_B).float().mean(),
        }
        for name, value in told.items():
            metrics[name][-1] = self._over_processes(value)

    def _over_processes(self, value: Tensor) -> float:
        return float(self.accelerator.gather(value).mean())


def _completion_tokens(output: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Log-probability of each token, and 1 where it is a completion's. Shapes: [2B, T] each."""
    mask_BT = batch["completion_mask"][:, 1:]
    return output.log_probs[:, -mask_BT.shape[1] :], mask_BT
