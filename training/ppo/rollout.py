"""Completions of the current policy, drawn by transformers in this process."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch

from training.online.draws import seed_for
from training.online.prompts import Prompt
from training.ppo.batches import by_length, left_padded


class Written(NamedTuple):
    """One completion as token ids, its end-of-text token included."""

    token_ids: tuple[int, ...]
    finished: bool
    """Whether it ended by itself."""
    logprobs: tuple[float, ...] | None = None
    """What the sampler says of each token; None where the learner itself drew."""


class Sampler(Protocol):
    """Draws a completion of the current policy for each prompt."""

    async def draw(self, prompts: Sequence[Prompt], step: int) -> list[Written | None]:
        """A completion for each prompt, in order; None where there is none."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class Drawing(NamedTuple):
    """How completions are drawn. No nucleus, no top-k: their probabilities would be others."""

    max_tokens: int
    temperature: float
    seed: int
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    batch_tokens: int
    """Most tokens, padding and completion included, written side by side."""


class TransformersSampler:
    """Draws with `generate`, prompts of like length side by side, padded at the left."""

    def __init__(self, model: Any, accelerator: Any, drawing: Drawing) -> None:
        self._model, self._accelerator, self._drawing = model, accelerator, drawing

    async def draw(self, prompts: Sequence[Prompt], step: int) -> list[Written | None]:
        """A completion for each prompt. The same step and prompts give the same completions."""
        return list(self.draw_now([prompt.token_ids for prompt in prompts], step))

    def draw_now(self, prompts: Sequence[Sequence[int]], step: int) -> list[Written]:
        """As `draw`, from token ids."""
        drawing = self._drawing
        torch.manual_seed(seed_for(drawing.seed, "draw", step, self._accelerator.process_index))
        lengths = [len(prompt) + drawing.max_tokens for prompt in prompts]
        written: dict[int, Written] = {}
        # Dropout is off for good; `eval` lets generate use its cache beside checkpointing.
        self._model.eval()
        try:
            for rows in by_length(lengths, drawing.batch_tokens):
                ids = self._generate([prompts[row] for row in rows])
                for row, tokens in zip(rows, ids.tolist(), strict=True):
                    written[row] = cut_at_end(tokens, drawing.eos_token_ids)
        finally:
            self._model.train()
        return [written[row] for row in range(len(prompts))]

    async def close(self) -> None:
        """Nothing to release."""

    def _generate(self, prompts: Sequence[Sequence[int]]) -> Any:
        """New token ids [B, T], padding after each end of text."""
        with torch.no_grad():
            drawing, device = self._drawing, self._accelerator.device
            padded = left_padded(prompts, drawing.pad_token_id)
            with self._accelerator.autocast():
                ids = self._model.generate(
                    input_ids=padded.input_ids.to(device),
                    attention_mask=padded.attention_mask.to(device),
                    do_sample=True,
                    temperature=drawing.temperature,
                    top_k=0,
                    top_p=1.0,
                    min_p=None,
                    repetition_penalty=1.0,
                    max_new_tokens=drawing.max_tokens,
                    min_new_tokens=None,
                    eos_token_id=list(drawing.eos_token_ids),
                    pad_token_id=drawing.pad_token_id,
                )
            return ids[:, padded.input_ids.shape[1] :]


def cut_at_end(tokens: Sequence[int], eos_token_ids: Sequence[int]) -> Written:
    """The tokens up to their first end of text, which is itself learned, and not beyond."""

    ends = [i for i, token in enumerate(tokens) if token in eos_token_ids]
    if not ends:
        return Written(tuple(tokens), finished=False)
    return Written(tuple(tokens[: ends[0] + 1]), finished=True)
