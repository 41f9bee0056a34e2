"""The trainer: soft labels over the options' tokens, at the place where the judge answers only.

The loss of a question is the cross-entropy of its label and the probabilities that a vote would
have, taken from the whole vocabulary: what is lost to other tokens counts, so label mass stays.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Trainer

from training.distilled_judge.lower_layers import answers, read_states
from training.distilled_judge.questions import ORDERS, Kind, PairQuestions
from training.distilled_judge.reading_lesson import OPPOSITE, PLAIN, ReadingLesson
from training.distilled_judge.token_tree import TokenTree, join_trees, prune
from training.distilled_judge.vote_encoder import VoteEncoder
from training.runs.watched_trainer import ROW, WatchedTrainer

LABELS, KIND, TREE, STATES = "p_first", "kind", "tree", "states"
KINDS: dict[Kind, int] = {"plain": PLAIN, "opposite": OPPOSITE, "contrast": 2}
"""A question's kind, as a number of a batch."""


class Lesson(NamedTuple):
    """Which questions count for how much."""

    plain_first: float = 0.0
    """Share of the steps, from the first, that ask the principle's own questions alone."""
    other_weight: float = 1.0
    """Weight of opposites and contrasts after that."""
    reading_weight: float = 0.0
    """Weight of the reading lesson, from the first step, beside the votes'."""


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
        kinds = [KINDS[asked.kind] for asked in self.pairs[row].asked for _ in range(ORDERS)]
        found = {ROW: row, TREE: tree, LABELS: labels, KIND: kinds}
        return found if self.states is None else found | {STATES: read_states(self.states[row])}


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch: one sequence that holds all trees of the rows."""
    batch: dict[str, Any] = {
        ROW: torch.tensor([row[ROW] for row in rows]),
        LABELS: torch.tensor([p for row in rows for p in row[LABELS]]),
        KIND: torch.tensor([kind for row in rows for kind in row[KIND]]),
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
        reading: ReadingLesson | None = None,
        **named: Any,
    ) -> None:
        """`reading`: watches the model, where the lesson's reading_weight is not 0."""
        super().__init__(*arguments, places=places, data_collator=collate, **named)
        self.options, self.lesson, self.reading = options, lesson, reading
        self.read_right: list[float] = []
        # Otherwise transformers would not average over the batches of one step.
        self.model_accepts_loss_kwargs = False

    def _loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **_: Any) -> Any:
        tree, states = inputs[TREE], inputs.get(STATES)
        label_A, kind_A = inputs[LABELS], inputs[KIND]
        plain_A = kind_A == PLAIN
        other_weight = self.lesson.other_weight
        if self.state.global_step < self.lesson.plain_first * self.state.max_steps:
            other_weight = 0.0
            if self.reading is None:
                tree, states = _ask_only(tree, states, plain_A.numpy(force=True))
                label_A, plain_A = label_A[plain_A], plain_A[plain_A]
        logits_AV = answers(model, tree, states)
        weight_A = torch.where(plain_A, 1.0, other_weight).to(logits_AV.device)
        loss = vote_loss(logits_AV, self.options, label_A.to(logits_AV.device), weight_A)
        if self.reading is not None and model.training:
            lesson, right = self.reading.loss(tree.last_A, kind_A)
            loss = loss + self.lesson.reading_weight * lesson
            self.read_right += [] if right is None else [right]
        return (loss, {"logits": logits_AV}) if rest and rest[0] else loss

    def log(self, logs: dict[str, float], *rest: Any, **named: Any) -> None:
        """With `reads`: the share of questions that the reading lesson tells right."""
        if self.read_right:
            logs = logs | {"reads": sum(self.read_right) / len(self.read_right)}
            self.read_right = []
        super().log(logs, *rest, **named)


def _ask_only(
    tree: TokenTree, states_TD: torch.Tensor | None, kept_A: NDArray[np.bool_]
) -> tuple[TokenTree, torch.Tensor | None]:
    """Some of a tree's prompts, with the states that those need."""
    tree, needed_T = prune(tree, kept_A)
    if states_TD is not None:
        states_TD = states_TD[torch.from_numpy(needed_T).to(states_TD.device)]
    return tree, states_TD


def vote_logits(
    model: Any,
    options: Sequence[int],
    dataset: QuestionSet,
    progress: Callable[[int, int], None],
    most: int | None = None,
) -> list[np.ndarray[Any, Any]]:
    """For each row, each question's log-odds of option A, or those of its first `most` prompts.

    Cost: one pass a row.
    """
    model.eval()
    found = []
    with torch.inference_mode():
        for row in range(len(dataset)):
            item = dataset[row]
            tree, states = item[TREE], item.get(STATES)
            if most is not None:
                tree, states = _ask_only(tree, states, np.arange(len(tree.last_A)) < most)
            logits_AV = answers(model, tree, states).float()
            first, second = logits_AV[:, options[0]], logits_AV[:, options[1]]
            found.append((first - second).cpu().numpy())
            progress(row + 1, len(dataset))
    return found
