"""Training the heads alone: the language model is read once, each step is a small product."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from training.rewards.batches import PromptCollator
from training.rewards.examples import EncodedPrompt
from training.rewards.network import head_of, read_texts


class FrozenNetwork(nn.Module):
    """A network's heads by themselves: states in, outputs out. The heads are the network's own."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.requires_grad_(False)
        self.score = head_of(network).requires_grad_(True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Shapes: (S, D) → (S, H)."""
        return torch.as_tensor(self.score(features))


class FeatureCollator:
    """Batches of states in place of tokens, with the same labels.

    Memory: four bytes for each dimension of each text, 2 GB for 100,000 texts of 5,120.
    """

    def __init__(
        self,
        labels: PromptCollator,
        network: Any,
        prompts: Sequence[EncodedPrompt],
        *,
        bfloat16: bool = False,
    ) -> None:
        self.pad_id, self._labels = labels.pad_id, labels
        texts = [text for prompt in prompts for text in prompt.texts]
        self._states = torch.from_numpy(
            read_texts(network, texts, labels.pad_id, states=True, bfloat16=bfloat16)
        ).float()
        self._start: dict[int, int] = {}
        total = 0
        for prompt in prompts:
            self._start[prompt.row] = total
            total += len(prompt.texts)

    def __call__(self, prompts: Sequence[EncodedPrompt]) -> dict[str, Any]:
        """Shapes: features [S, D], beside what PromptCollator.labels makes."""
        parts = [
            self._states[self._start[one.row] : self._start[one.row] + len(one.texts)]
            for one in prompts
        ]
        return {"features": torch.cat(parts), **self._labels.labels(prompts)}
