"""One PPO step on accelerate: score what was drawn, then update on it, in micro-batches by length.

Losses are sums over tokens divided by the tokens of the whole minibatch, over all processes, so
the size of micro-batches and the number of processes change speed and memory, not the result.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from judges.errors import ModelError
from training.online.draws import seed_for
from training.ppo.actor_critic import ActorCritic, TokenOutputs
from training.ppo.advantages import whitened
from training.ppo.batches import by_length, right_padded
from training.ppo.experience import Drawn, Experience, Scored, make_experience
from training.ppo.losses import (
    clipped_policy_loss,
    clipped_value_loss,
    k3,
    truncated_importance_weights,
)
from training.ppo.settings import Clipping, Optimisation, Shaping

SCORING_ROOM = 4
"""Tokens in a scoring pass for one in an update: no activations are kept for a backward pass."""


class Learner:
    """The models, their optimiser, and where they stand."""

    def __init__(
        self,
        model: ActorCritic,
        accelerator: Any,
        optimisation: Optimisation,
        clipping: Clipping,
        total_steps: int,
        seed: int,
    ) -> None:
        self.accelerator, self.clipping, self.settings = accelerator, clipping, optimisation
        self.total_steps, self.seed = total_steps, seed
        self.plain = model
        optimizer = torch.optim.AdamW(
            _parameter_groups(model, optimisation),
            eps=optimisation.adam_epsilon,
            weight_decay=optimisation.weight_decay,
        )
        model.train()
        self.model, self.optimizer = accelerator.prepare(model, optimizer)

    def score(self, drawn: Sequence[Drawn]) -> Scored:
        """Log-probabilities, reference and values of what was drawn, before the step.

        The learner computes them anew whoever drew: they must come from the very computation that
        the update differentiates.
        """
        with torch.no_grad():
            longest = max(len(one.sequence.completion) for one in drawn)
            shape = (len(drawn), longest)
            device = self.accelerator.device
            parts = [torch.zeros(shape, device=device) for _ in range(4)]
            mask = torch.zeros(shape, dtype=torch.bool, device=device)
            room = SCORING_ROOM * self.settings.micro_batch_tokens
            for rows in by_length([_length(one) for one in drawn], room):
                batch = right_padded([drawn[row].sequence for row in rows], device)
                outputs = self.plain(batch)  # no process waits for another that has nothing drawn
                with self.accelerator.autocast():
                    reference = self.plain.reference_logprobs(batch)
                width = batch.mask_BT.shape[1]
                mask[rows, :width] = batch.mask_BT
                found = (outputs.logprobs_BT, reference, outputs.values_BT, outputs.entropy_BT)
                for part, values in zip(parts, found, strict=True):
                    part[rows, :width] = values.float()
            logprobs, reference, values, entropy = parts
            sampler = _sampler_logprobs(drawn, mask)
            return Scored(mask, logprobs, reference, values, entropy, sampler)

    def improve(
        self,
        drawn: Sequence[Drawn],
        scored: Scored,
        scores: Sequence[float],
        shaping: Shaping,
        kl_coefficient: float,
        step: int,
    ) -> dict[str, float]:
        """One whole step from scores to new weights; returns its metrics.

        Raises: ModelError naming the prompts when a loss or gradient is no finite number; the
        weights are then still whole.
        """
        scores_B = torch.tensor(scores, dtype=torch.float32, device=self.accelerator.device)
        experience, statistics = make_experience(
            drawn, scored, scores_B, shaping, kl_coefficient, self.total
        )
        weights_BT = torch.ones_like(experience.advantages)
        if scored.sampler is not None:
            weights_BT = truncated_importance_weights(
                scored.logprobs, scored.sampler, scored.mask, shaping.importance_cap
            )
        told = Tally(self.total)
        for epoch in range(self.settings.epochs):
            for number, rows in enumerate(self._minibatches(len(drawn), step, epoch)):
                self._set_rate(step, epoch * self.settings.minibatches + number)
                self._minibatch(experience, weights_BT, rows, step, shaping.whiten_advantages, told)
        metrics = {**statistics._asdict(), **told.means()}
        metrics["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        if scored.sampler is not None:
            metrics |= self._mismatch(scored, weights_BT, shaping.importance_cap)
        return metrics

    def total(self, value: Any) -> Any:
        """The sum over all processes."""
        if self.accelerator.num_processes == 1:
            return value
        return self.accelerator.reduce(value, reduction="sum")

    def _minibatch(
        self,
        experience: Experience,
        weights_BT: Any,
        rows: list[int],
        step: int,
        whiten: bool,
        told: "Tally",
    ) -> None:
        mask = experience.mask[rows]
        tokens = float(self.total(mask.sum().float()))
        if not tokens:
            return  # no process has a row for it
        advantages = experience.advantages[rows]
        if whiten:
            advantages = whitened(advantages, mask, total=self.total)
        lengths = [_length(experience.drawn[row]) for row in rows]
        groups = by_length(lengths, self.settings.micro_batch_tokens) or [[]]
        for number, group in enumerate(groups):
            last = number == len(groups) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                chosen = [rows[i] for i in group]
                loss = self._loss(
                    experience, weights_BT, chosen, advantages[group], step, tokens, told
                )
                # Copies of the model average gradients; their parts of the sum must be added.
                self.accelerator.backward(loss * self.accelerator.num_processes)
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), self.settings.max_grad_norm
        )
        if not math.isfinite(norm := float(norm)):
            self.stop(f"the gradient's norm is {norm}", experience.ids(rows), step)
        told.add({"gradient_norm": torch.tensor(norm)}, torch.tensor(1.0))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _loss(
        self,
        experience: Experience,
        weights_BT: Any,
        rows: list[int],
        advantages_BT: Any,
        step: int,
        tokens: float,
        told: "Tally",
    ) -> Any:
        # A process without a row of this minibatch still takes part, with a gradient of 0.
        sequences = [experience.drawn[row].sequence for row in rows or [0]]
        batch = right_padded(sequences, self.accelerator.device)
        width = batch.mask_BT.shape[1]
        mask = experience.mask[rows, :width]
        old, old_values = experience.old_logprobs[rows, :width], experience.old_values[rows, :width]
        outputs = TokenOutputs(*(part[: len(rows)] for part in self.model(batch)))
        policy, ratio, clipped = clipped_policy_loss(
            outputs.logprobs_BT,
            old,
            advantages_BT[:, :width],
            weights_BT[rows, :width],
            mask,
            self.clipping.policy,
        )
        value, value_clipped = clipped_value_loss(
            outputs.values_BT,
            old_values,
            experience.returns[rows, :width],
            mask,
            self.clipping.value,
        )
        loss = (policy + self.clipping.value_weight * value) / tokens
        if not math.isfinite(number := float(loss.detach())):
            self.stop(f"the loss is {number}", experience.ids(rows), step)
        with torch.no_grad():
            sums = {
                "loss_policy": policy,
                "loss_value": value,
                "ratio": (ratio * mask).sum(),
                "clip_fraction": clipped.sum(),
                "value_clip_fraction": value_clipped.sum(),
                "approximate_kl": (k3(outputs.logprobs_BT, old) * mask).sum(),
            }
            told.add(sums, mask.sum())
        return loss

    def _minibatches(self, count: int, step: int, epoch: int) -> Iterator[list[int]]:
        """Rows of each minibatch, drawn by seed, step and epoch alone, so a resumed run agrees.

        Of fewer rows than minibatches the last are empty: other processes may have rows for them.
        """
        generator = torch.Generator().manual_seed(seed_for(self.seed, "order", step, epoch))
        order = torch.randperm(count, generator=generator).tolist()
        parts = self.settings.minibatches
        for part in range(parts):
            yield order[part::parts]

    def _set_rate(self, step: int, done: int) -> None:
        settings = self.settings
        part = done / (settings.epochs * settings.minibatches)
        progress = (step - 1 + part) / self.total_steps
        factor = 1 - progress if settings.decay else 1.0
        if settings.warmup_steps:
            factor *= min(1.0, (step - 1 + part) / settings.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["first_rate"]

    def _mismatch(self, scored: Scored, weights_BT: Any, cap: float) -> dict[str, float]:
        """How far the server's policy is from the learner's."""
        gap = (scored.logprobs - scored.sampler) * scored.mask
        told = Tally(self.total)
        sums = {
            "importance_weight": (weights_BT * scored.mask).sum(),
            "importance_capped": ((weights_BT >= cap) & scored.mask).sum(),
            "sampler_gap": gap.abs().sum(),
        }
        told.add(sums, scored.mask.sum())
        return told.means()

    def stop(self, what: str, prompt_ids: Sequence[str], step: int) -> None:
        """Raises: ModelError that names the prompts of a bad step."""
        ids = ", ".join(dict.fromkeys(prompt_ids[:16]))
        raise ModelError(
            f"training step {step}: {what} · prompts {ids} · look at these, lower the learning "
            "rate, and resume or start a new run"
        )


class Tally:
    """Sums, divided at the end by what they are over, over all processes."""

    def __init__(self, total: Callable[[Any], Any]) -> None:
        self._total = total
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, Any] = {}

    def add(self, sums: dict[str, Any], count: Any) -> None:
        """Add sums over `count` tokens or pairs."""
        for name, value in sums.items():
            value = value.detach().float()
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0.0) + count.to(value.device).float()

    def means(self) -> dict[str, float]:
        """The mean of each."""
        return {
            name: float(self._total(value)) / max(1.0, float(self._total(self._counts[name])))
            for name, value in self._sums.items()
        }


def _parameter_groups(model: ActorCritic, settings: Optimisation) -> list[dict[str, Any]]:
    rates = (settings.learning_rate, settings.value_learning_rate or settings.learning_rate)
    trained = model.trained_parameters()
    is_policy = {name: name.startswith("policy.") for name in trained}
    return [
        {
            "params": [p for name, p in trained.items() if is_policy[name] == wanted],
            "lr": rate,
            "first_rate": rate,
        }
        for wanted, rate in zip((True, False), rates, strict=True)
    ]


def _sampler_logprobs(drawn: Sequence[Drawn], mask_BT: Any) -> Any | None:
    if any(one.sampler_logprobs is None for one in drawn):
        return None
    sampler = torch.zeros(mask_BT.shape, device=mask_BT.device)
    for row, one in enumerate(drawn):
        told = torch.tensor(list(one.sampler_logprobs or ()))
        sampler[row, : len(told)] = told.to(mask_BT.device)
    return sampler


def _length(one: Drawn) -> int:
    return len(one.sequence.prompt) + len(one.sequence.completion)
