"""The trainer: soft labels over the options' tokens, at the place where the judge answers only.

The loss of a question is the cross-entropy of its label and the probabilities that a vote would
have, taken from the whole vocabulary: what is lost to other tokens counts, so label mass stays.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer

from training.distilled_judge.lower_layers import answers, read_states
from training.distilled_judge.questions import PairQuestions
from training.distilled_judge.token_tree import join_trees
from training.distilled_judge.vote_encoder import VoteEncoder
from training.runs.watched_trainer import ROW, WatchedTrainer

LABELS, TREE, STATES = "p_first", "tree", "states"


class QuestionSet(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows as the collator takes them, made when they are wanted: millions need not lie ready."""

    def __init__(
        self,
        pairs: Sequence[PairQuestions],
        encoder: VoteEncoder,
        states: Sequence[Path] | None = None,
    ) -> None:
        """`states`: where what the lower layers say of each row is kept."""
        self.pairs, self.encoder, self.states = pairs, encoder, states

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        tree, labels = self.encoder.tree(self.pairs[row])
        found = {ROW: row, TREE: tree, LABELS: labels}
        return found if self.states is None else found | {STATES: read_states(self.states[row])}


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch: one sequence that holds all trees of the rows."""
    batch: dict[str, Any] = {
        ROW: torch.tensor([row[ROW] for row in rows]),
        LABELS: torch.tensor([p for row in rows for p in row[LABELS]]),
        TREE: join_trees([row[TREE] for row in rows]),
    }
    if STATES in rows[0]:
        batch[STATES] = torch.cat([row[STATES] for row in rows])
    return batch


def vote_loss(
    logits_AV: torch.Tensor, options: Sequence[int], p_first_A: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of labels and votes. Units: nats a question."""
    logp_A2 = logits_AV.float().log_softmax(-1)[:, list(options)]
    p_A2 = torch.stack([p_first_A, 1 - p_first_A], dim=1).to(logp_A2)
    return -(p_A2 * logp_A2).sum(1).mean()


class VoteTrainer(WatchedTrainer, Trainer):
    """transformers' Trainer for a QuestionSet; a loss that is no number ends the run."""

    def __init__(
        self,
        *arguments: Any,
        options: Sequence[int],
        places: Callable[[list[int]], str],
        **named: Any,
    ) -> None:
        super().__init__(*arguments, places=places, data_collator=collate, **named)
        self.options = options
        # Otherwise transformers would not average over the batches of one step.
        self.model_accepts_loss_kwargs = False

    def _loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **_: Any) -> Any:
        logits_AV = answers(model, inputs[TREE], inputs.get(STATES))
        loss = vote_loss(logits_AV, self.options, inputs[LABELS].to(logits_AV.device))
        return (loss, {"logits": logits_AV}) if rest and rest[0] else loss


def vote_logits(
    model: Any, options: Sequence[int], dataset: QuestionSet, progress: Callable[[int, int], None]
) -> list[np.ndarray[Any, Any]]:
    """For each row, each question's log-odds of option A. Cost: one pass a row."""
    model.eval()
    found = []
    with torch.inference_mode():
        for row in range(len(dataset)):
            item = dataset[row]
            logits_AV = answers(model, item[TREE], item.get(STATES)).float()
            first, second = logits_AV[:, options[0]], logits_AV[:, options[1]]
            found.append((first - second).cpu().numpy())
            progress(row + 1, len(dataset))
    return found
