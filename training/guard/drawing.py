"""What a policy in this process says to the guard's prompts, and how far it is from its reference.

All is drawn by seeds of the guard's own, and the generators of the training are put back as they
were: a guarded run has the losses of an unguarded one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from judges.records import CompletionText
from training.guard.observation import Answer
from training.guard.settings import GuardSettings
from training.online.prompts import Prompt
from training.ppo.batches import by_length, left_padded
from training.ppo.rollout import Drawing, TransformersSampler, Written

MOST_LOGITS = 2**27
"""Log-probabilities over the vocabulary held at once, of policy and reference each."""


class Policy:
    """A policy being trained, and what it is measured from."""

    def __init__(self, model: Any, reference: Any | None, accelerator: Any, tokenizer: Any) -> None:
        """`reference` None: the model's base, its adapters off."""
        self.model, self.reference, self.accelerator = model, reference, accelerator
        self.tokenizer = tokenizer

    def answers(
        self, prompts: Sequence[Prompt], settings: GuardSettings, step: int, samples: int, kl: bool
    ) -> list[Answer]:
        """Completions of each prompt. Cost: writing them, and with `kl` reading them twice."""
        from training.ppo.building import end_token_ids

        drawing = Drawing(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            eos_token_ids=end_token_ids(self.model, self.tokenizer),
            pad_token_id=self.tokenizer.pad_token_id,
            batch_tokens=settings.batch_tokens,
        )
        rows = [row for row in range(len(prompts)) for _ in range(samples)]
        asked = [prompts[row].token_ids for row in rows]
        with self._untouched():
            sampler = TransformersSampler(self.model, self.accelerator, drawing)
            written = sampler.draw_now(asked, step)
            far: Sequence[float | None] = [None] * len(rows)
            if kl:
                far = self._divergences(asked, written, settings.temperature)
        return [
            Answer(row, self._text(one), distance)
            for row, one, distance in zip(rows, written, far, strict=True)
        ]

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        """Leave random states and the mode of the model as they are."""
        device = self.accelerator.device
        was_training = self.model.training
        devices = [device.index or 0] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            try:
                yield
            finally:
                self.model.train(was_training)

    def _text(self, written: Written) -> CompletionText:
        return CompletionText(
            text=self.tokenizer.decode(list(written.token_ids), skip_special_tokens=True),
            finish_reason="stop" if written.finished else "length",
            tokens=len(written.token_ids),
        )

    def _divergences(
        self, prompts: Sequence[Sequence[int]], written: Sequence[Written], temperature: float
    ) -> list[float]:
        """KL(policy || reference) of each completion: exact at each token, along the completion.

        Summed over the vocabulary, not sampled, so that few completions tell it.
        """
        self.model.eval()
        whole = [[*p, *w.token_ids] for p, w in zip(prompts, written, strict=True)]
        vocabulary = self.model.get_output_embeddings().weight.shape[0]
        found: dict[int, float] = {}
        for rows in by_length([len(one) for one in whole], max(1, MOST_LOGITS // vocabulary)):
            tokens = [len(written[row].token_ids) for row in rows]
            padded = left_padded([whole[row] for row in rows], self.tokenizer.pad_token_id)
            kl_BT = self._token_divergences(padded, max(tokens), temperature)
            for row, count, kl_T in zip(rows, tokens, kl_BT, strict=True):
                found[row] = float(kl_T[len(kl_T) - count :].sum())
        return [found[row] for row in range(len(whole))]

    def _token_divergences(self, padded: Any, longest: int, temperature: float) -> Any:
        """Shape: [B, T], the last T tokens of each sequence."""
        policy_BTV = self._log_probabilities(self.model, padded, longest, temperature)
        if self.reference is None:
            with self.model.disable_adapter():
                base_BTV = self._log_probabilities(self.model, padded, longest, temperature)
        else:
            base_BTV = self._log_probabilities(self.reference, padded, longest, temperature)
        return (policy_BTV.exp() * (policy_BTV - base_BTV)).sum(dim=2)

    def _log_probabilities(self, model: Any, padded: Any, longest: int, temperature: float) -> Any:
        device = self.accelerator.device
        with self.accelerator.autocast():
            logits_BTV = model(
                input_ids=padded.input_ids.to(device),
                attention_mask=padded.attention_mask.to(device),
                position_ids=padded.position_ids.to(device),
                logits_to_keep=longest + 1,
            ).logits
        return (logits_BTV[:, :-1].float() / temperature).log_softmax(dim=-1)
