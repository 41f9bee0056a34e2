"""The trainer: soft labels over the options' tokens, at the place where the judge answers only.

The loss of a question is the cross-entropy of its label and the probabilities that a vote would
have, taken from the whole vocabulary: what is lost to other tokens counts, so label mass stays.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import Trainer

from training.distilled_judge.lower_layers import answers, read_states
from training.distilled_judge.questions import ORDERS, PairQuestions
from training.distilled_judge.token_tree import join_trees, prune
from training.distilled_judge.vote_encoder import VoteEncoder
from training.runs.watched_trainer import ROW, WatchedTrainer

LABELS, PLAIN, TREE, STATES = "p_first", "plain", "tree", "states"


class Lesson(NamedTuple):
    """Which questions count for how much."""

    plain_first: float = 0.0
    """Share of the steps, from the first, that ask the principle's own questions alone."""
    other_weight: float = 1.0
    """Weight of opposites and contrasts after that."""


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
        plain = [asked.kind == "plain" for asked in self.pairs[row].asked for _ in range(ORDERS)]
        found = {ROW: row, TREE: tree, LABELS: labels, PLAIN: plain}
        return found if self.states is None else found | {STATES: read_states(self.states[row])}


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch: one sequence that holds all trees of the rows."""
    batch: dict[str, Any] = {
        ROW: torch.tensor([row[ROW] for row in rows]),
        LABELS: torch.tensor([p for row in rows for p in row[LABELS]]),
        PLAIN: torch.tensor([is_plain for row in rows for is_plain in row[PLAIN]]),
        TREE: join_trees([row[TREE] for row in rows]),
    }
    if STATES in rows[0]:
        batch[STATES] = torch.cat([row[STATES] for row in rows])
    return batch


def vote_loss(
    logits_AV: torch.Tensor,
    options: Sequence[int],
    p_first_A: torch.Tensor,
    weight_A: torch.Tensor,
) -> torch.Tensor:
    """Weighted mean cross-entropy of labels and votes. Units: nats a question."""
    logp_A2 = logits_AV.float().log_softmax(-1)[:, list(options)]
    p_A2 = torch.stack([p_first_A, 1 - p_first_A], dim=1).to(logp_A2)
    return -((p_A2 * logp_A2).sum(1) * weight_A).sum() / weight_A.sum()


class VoteTrainer(WatchedTrainer, Trainer):
    """transformers' Trainer for a QuestionSet; a loss that is no number ends the run."""

    def __init__(
        self,
        *arguments: Any,
        options: Sequence[int],
        lesson: Lesson,
        places: Callable[[list[int]], str],
        **named: Any,
    ) -> None:
        super().__init__(*arguments, places=places, data_collator=collate, **named)
        self.options, self.lesson = options, lesson
        # Otherwise transformers would not average over the batches of one step.
        self.model_accepts_loss_kwargs = False

    def _loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **_: Any) -> Any:
        tree, states = inputs[TREE], inputs.get(STATES)
        label_A, plain_A = inputs[LABELS], inputs[PLAIN]
        if self.state.global_step < self.lesson.plain_first * self.state.max_steps:
            tree, needed_T = prune(tree, plain_A.numpy(force=True))
            if states is not None:
                states = states[torch.from_numpy(needed_T).to(states.device)]
            label_A, plain_A = label_A[plain_A], plain_A[plain_A]
        logits_AV = answers(model, tree, states)
        weight_A = torch.where(plain_A, 1.0, self.lesson.other_weight).to(logits_AV.device)
        loss = vote_loss(logits_AV, self.options, label_A.to(logits_AV.device), weight_A)
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
