"""A lesson in reading: halfway through the layers trained, say whether a principle is turned round.

A judge that knows a family, asked under a principle and its opposite, first learns to say nothing:
the word that turns the principle round is far from where the answer is given, and nothing yet
brings it there. So a fixed direction of a middle layer's state at the answer is asked for that word
itself, by a cross-entropy beside the votes'. What the layers above do with it is for the votes to
teach.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from training.distilled_judge.lower_layers import layers_of

OPPOSITE, PLAIN = 1, 0
"""What is told apart; other numbers are questions that the lesson leaves out."""


class ReadingLesson:
    """Reads a model's state on its way through the layers trained."""

    def __init__(self, model: Any, lower: int) -> None:
        """`lower`: how many layers, from the first, are not trained.

        The direction is drawn, always the same, and never trained: so nothing of it is kept.
        """
        layers = layers_of(model)
        middle = layers[(lower + len(layers)) // 2]
        width = model.get_input_embeddings().embedding_dim
        drawn_D = torch.randn(width, generator=torch.Generator().manual_seed(0))
        self.direction_D = drawn_D / drawn_D.norm()
        self.seen_BTD: torch.Tensor | None = None
        middle.register_forward_pre_hook(self._note)

    def _note(self, layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if layer.training:
            self.seen_BTD = arguments[0]

    def loss(
        self, last_A: NDArray[np.int64], kind_A: torch.Tensor
    ) -> tuple[torch.Tensor, float | None]:
        """Mean cross-entropy in nats, and the share told right; after the model's forward pass.

        Shapes: the index of each prompt's last token [A], 0 or 1 for what it asks [A]. 0 and None
        where no question is of either kind.
        """
        assert self.seen_BTD is not None
        state_AD = self.seen_BTD[0][torch.from_numpy(last_A).to(self.seen_BTD.device)].float()
        self.seen_BTD = None
        kind_A = kind_A.to(state_AD.device)
        asked_A = (kind_A == PLAIN) | (kind_A == OPPOSITE)
        if not asked_A.any():
            return state_AD.sum() * 0, None
        scale_A1 = state_AD.square().mean(1, keepdim=True).clamp_min(1e-12).rsqrt()
        logit_A = (state_AD * scale_A1 @ self.direction_D.to(state_AD.device))[asked_A]
        label_A = (kind_A[asked_A] == OPPOSITE).to(logit_A)
        right = ((logit_A > 0) == (label_A > 0)).float().mean().item()
        return binary_cross_entropy_with_logits(logit_A, label_A), right
