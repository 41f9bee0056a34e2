"""The DPO step on pairs that were just drawn, in micro-batches by length, on accelerate.

Losses are sums over pairs divided by the pairs of the whole minibatch, over all processes, as in
PPO: micro-batches and processes change speed and memory, not the result.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from training.methods.loss_settings import LossSettings
from training.methods.pair_losses import PairLogProbs, pair_losses, scores
from training.online_dpo.pairs import Pair
from training.ppo.batches import by_length, right_padded
from training.ppo.experience import Drawn, Scored
from training.ppo.learner import Learner, Tally


class PairLearner(Learner):
    """A learner without a value model, for pairs."""

    def improve_pairs(
        self,
        drawn: Sequence[Drawn],
        scored: Scored,
        pairs: Sequence[Pair],
        loss: LossSettings,
        step: int,
    ) -> dict[str, float]:
        """One whole step from pairs to new weights; returns its metrics.

        Where no process has a pair, nothing moves. Raises: ModelError naming the prompts when a
        loss or gradient is no finite number; the weights are then still whole.
        """
        kl_B = ((scored.logprobs - scored.reference) * scored.mask).sum(dim=1)
        metrics = {"kl": self._mean(kl_B), "entropy": self._mean(_token_means(scored))}
        told = Tally(self.total)
        for epoch in range(self.settings.epochs):
            for number, rows in enumerate(self._minibatches(len(pairs), step, epoch)):
                self._set_rate(step, epoch * self.settings.minibatches + number)
                some = [pairs[row] for row in rows]
                self._pair_minibatch(drawn, scored, some, loss, step, told)
        metrics |= {"loss": 0.0, **told.means()}
        return metrics | {"learning_rate": self.optimizer.param_groups[0]["lr"]}

    def _pair_minibatch(
        self,
        drawn: Sequence[Drawn],
        scored: Scored,
        pairs: Sequence[Pair],
        loss: LossSettings,
        step: int,
        told: Tally,
    ) -> None:
        total = self._count(pairs)
        if not total:
            return  # no process has a pair for it
        lengths = [max(_length(drawn[i]) for i in (pair.chosen, pair.rejected)) for pair in pairs]
        # A pair is two sequences, as wide as the longer. A process without a pair still takes part.
        groups = by_length(lengths, max(1, self.settings.micro_batch_tokens // 2)) or [[]]
        for number, group in enumerate(groups):
            last = number == len(groups) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                chosen = [pairs[i] for i in group]
                value = self._pair_loss(drawn, scored, chosen, loss, told) / total
                if not math.isfinite(number_ := float(value.detach())):
                    self.stop(f"the loss is {number_}", _ids(drawn, chosen), step)
                # Copies of the model average gradients; their parts of the sum must be added.
                self.accelerator.backward(value * self.accelerator.num_processes)
        norm = float(
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        )
        if not math.isfinite(norm):
            self.stop(f"the gradient's norm is {norm}", _ids(drawn, pairs), step)
        told.add({"gradient_norm": torch.tensor(norm)}, torch.tensor(1.0))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _pair_loss(
        self,
        drawn: Sequence[Drawn],
        scored: Scored,
        pairs: Sequence[Pair],
        loss: LossSettings,
        told: Tally,
    ) -> Any:
        """The sum over these pairs; 0, with a gradient of 0, where there is none."""
        places = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs] or [0, 0]
        batch = right_padded([drawn[i].sequence for i in places], self.accelerator.device)
        logps_B = self.model(batch).logprobs_BT.sum(dim=1)
        if not pairs:
            return 0.0 * logps_B.sum()
        reference_B = (scored.reference * scored.mask).sum(dim=1)[places]
        tokens_B = batch.mask_BT.sum(dim=1)
        seen = PairLogProbs(*logps_B.chunk(2), *reference_B.chunk(2), *tokens_B.chunk(2))
        labels_B = torch.tensor([pair.p_chosen for pair in pairs], device=logps_B.device)
        losses_B = pair_losses(seen, labels_B, loss)
        with torch.no_grad():
            chosen_B, rejected_B = scores(seen, loss)
            moved_B = (seen.chosen_B - seen.reference_chosen_B) / seen.chosen_tokens_B
            sums = {
                "loss": losses_B,
                "p_chosen": labels_B,
                "rewards/margins": chosen_B - rejected_B,
                "rewards/accuracies": (chosen_B > rejected_B).float(),
                "logps/chosen_per_token": moved_B,
            }
            count = torch.tensor(float(len(pairs)), device=logps_B.device)
            told.add({name: part.sum() for name, part in sums.items()}, count)
        return losses_B.sum()

    def _count(self, pairs: Sequence[Pair]) -> float:
        device = self.accelerator.device
        return float(self.total(torch.tensor(float(len(pairs)), device=device)))

    def _mean(self, values_B: Any) -> float:
        count = torch.tensor(float(len(values_B)), device=values_B.device)
        sums = self.total(torch.stack([values_B.sum().float(), count]))
        return float(sums[0] / sums[1])


def _token_means(scored: Scored) -> Any:
    return (scored.entropy * scored.mask).sum(dim=1) / scored.mask.sum(dim=1).clamp(min=1)


def _length(one: Drawn) -> int:
    return len(one.sequence.prompt) + len(one.sequence.completion)


def _ids(drawn: Sequence[Drawn], pairs: Sequence[Pair]) -> list[str]:
    return [drawn[pair.chosen].prompt_id for pair in pairs]
