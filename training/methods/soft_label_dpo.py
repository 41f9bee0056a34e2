"""DPO whose label of a pair is a probability: TRL's trainer, with the judge's doubt in the loss.

With Δ = beta · (log-ratio of chosen - log-ratio of rejected), policy over reference, the loss of a
pair is  -p·log σ(Δ) - (1-p)·log σ(-Δ).  Because log σ(-Δ) = log σ(Δ) - Δ, that is TRL's sigmoid
loss plus (1-p)·Δ, exactly; at p = 1 nothing is added. Its minimum is at σ(Δ) = p, so a pair the
judge doubts pulls the policy only as far as the judge would go. TRL's `sft` loss may stand beside
it: the chosen side's mean negative log-likelihood, which keeps the policy near what was chosen
(Pang et al. 2024, arXiv:2404.19733).

Tried and dropped: TRL's `robust` loss with ε = (p-1)/(2p-1) per pair is the same function, but
divides by zero at p = 1/2.
Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; conservative form, Mitchell 2023.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import trl.trainer.utils
from trl import DPOTrainer

from training.runs.watched_trainer import WatchedTrainer, without


class SoftLabelDPOTrainer(WatchedTrainer, DPOTrainer):
    """TRL's DPOTrainer for rows with `p_chosen` and `row`; a loss that is no number ends the run.

    With `soft=False` the labels are left aside, and the loss is whatever TRL is told.
    """

    OUR_COLUMNS = ("row", "p_chosen")

    def __init__(
        self, *arguments: Any, soft: bool, places: Callable[[list[int]], str], **named: Any
    ) -> None:
        super().__init__(*arguments, places=places, **named)
        self.soft = soft
        if soft:
            # Every batch then carries its reference log-probabilities: ours, or TRL's own
            # precomputed ones.
            self.precompute_ref_logps = True

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """TRL's reference log-probabilities. Shapes: chosen [B], rejected [B]."""
        return super().compute_ref_log_probs(model, without(inputs, self.OUR_COLUMNS))

    def _loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        *rest: Any,
        **named: Any,
    ) -> Any:
        batch = without(inputs, self.OUR_COLUMNS)
        if not self.soft:
            return super()._loss(model, batch, return_outputs, *rest, **named)
        loss, outputs = self._soft_loss(model, batch, inputs["p_chosen"], return_outputs)
        return (loss, outputs) if return_outputs else loss

    def _soft_loss(
        self, model: Any, batch: dict[str, Any], p_B: torch.Tensor, return_outputs: bool
    ) -> tuple[torch.Tensor, Any]:
        if "ref_chosen_logps" not in batch:
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.compute_ref_log_probs(
                self.ref_model or self.model, batch
            )
        seen: list[Any] = []

        def watched(**named: Any) -> Any:
            seen.append(model(**named))
            return seen[-1]

        answer = super()._loss(watched, batch, return_outputs)
        loss, outputs = answer if return_outputs else (answer, None)
        chosen_B, rejected_B = seen[0].log_probs.sum(dim=1).chunk(2)
        delta_B = self.beta * (
            (chosen_B - batch["ref_chosen_logps"]) - (rejected_B - batch["ref_rejected_logps"])
        )
        # TRL weights each of its losses; ours belongs to the first, `sigmoid`.
        return loss + self.loss_weights[0] * ((1 - p_B) * delta_B).mean(), outputs


@contextmanager
def scoring_completions_only(device: str) -> Iterator[None]:
    """On a CPU, have TRL project only completion tokens to the vocabulary, as it does on a GPU.

    Off the GPU TRL projects prompt tokens as well and throws the result away: a quarter of a
    step of the embedded model.
    """
    if device != "cpu":
        yield
        return
    before = trl.trainer.utils._use_triton
    # Only asked whether to leave prompt tokens out; the kernels ask their own module.
    trl.trainer.utils._use_triton = lambda _: True
    try:
        yield
    finally:
        trl.trainer.utils._use_triton = before
