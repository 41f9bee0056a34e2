"""The work of a distillation: model, adapter and rows put together, trained, examined."""

import json
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from judges.calibration.estimates import share_estimate
from judges.cards.labelled import LabelledPair
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.policies import model_folder
from judges.progress import progress
from training.distilled_judge.distil import Examination, JudgeRecipe, Material, ProbeReport
from training.distilled_judge.earlier_judge import check_earlier, load_earlier
from training.distilled_judge.left_out import tell_left_out
from training.distilled_judge.lower_layers import (
    keep_lower_states,
    layers_of,
    read_states,
    state_files,
)
from training.distilled_judge.probe import Taught, completion_difference, cross_fit, taught_by
from training.distilled_judge.questions import (
    ORDERS,
    Floats,
    Mixture,
    PairQuestions,
    labelled_by,
    strangers_of,
)
from training.distilled_judge.reading_lesson import ReadingLesson
from training.distilled_judge.splitting import opening
from training.distilled_judge.vote_encoder import VoteEncoder
from training.distilled_judge.vote_trainer import Lesson, QuestionSet, VoteTrainer, vote_logits
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.run import Run

EARLIER_VOTES = "earlier-votes.json"
"""The file of a run folder with the votes that label its pairs, where another judge gives them."""


class Distillation:
    """A trainer that is ready, and what it trains on."""

    def __init__(self, recipe: JudgeRecipe, material: Material, run: Run) -> None:
        """Raises: ConfigError, ModelError for what the libraries refuse; DataError for too many
        pairs longer than max_length, or labels that teach no probe."""
        self.recipe, self.run = recipe, run
        if recipe.start_from:
            check_earlier(recipe.start_from, recipe, run.manifest)
        self.encoder = VoteEncoder(recipe.model)
        fits = self._fitting(material.questions)
        if not any(fits):
            raise ConfigError(
                f"max_length is {recipe.max_length}, but every question is longer; raise it"
            )
        self._tell_longer(material.questions, fits, "pairs", recipe.max_dropped)
        self.kept = list(compress(material.questions, fits))
        self.labelled = sum(fits[: material.labelled])
        self.dropped = len(material.questions) - len(self.kept)
        self.kept += (strangers := self._strangers(material.mixture))
        self.strangers = len(strangers)
        self.probe: ProbeReport | None = None
        asked = material.examined()
        fits = self._fitting(asked)
        self._tell_longer(asked, fits, "development pairs", None)
        self.examined = list(compress(asked, fits))
        self.said = list(compress(material.development, fits))
        self.trainer = self._make_trainer()

    def _fitting(self, pairs: Sequence[PairQuestions]) -> list[bool]:
        return [self.encoder.fits(pair, self.recipe.max_length) for pair in pairs]

    def _strangers(self, mixture: Mixture) -> list[PairQuestions]:
        """Unlabelled pairs of the labelled ones' completions; those that are too long are not."""
        drawn = list(strangers_of(self.kept[: self.labelled], self.recipe.strangers, mixture))
        return list(compress(drawn, self._fitting(drawn)))

    def _tell_longer(
        self, pairs: Sequence[PairQuestions], fits: Sequence[bool], what: str, most: float | None
    ) -> None:
        places = [pair.place for pair, kept in zip(pairs, fits, strict=True) if not kept]
        longer = f"{what} are longer than {self.recipe.max_length} tokens (max_length)"
        for text in tell_left_out(places, len(pairs), longer, most):
            self.run.message(text)

    def _make_trainer(self) -> VoteTrainer:
        from transformers import TrainingArguments

        folder = model_folder(self.recipe.model)
        with building_trainer(folder):
            settings = TrainingArguments(**self.run.manifest.trainer, remove_unused_columns=False)
            self.model, lower = load_model(self.recipe, self.run.manifest.hardware.device)
            states = self._keep_states(lower)
            here = len(self.kept)
            if self.recipe.start_from:
                load_earlier(self.model, self.recipe.start_from)
            self._label(states and states[:here])
            reading = None
            if self.recipe.reading_weight:
                reading = ReadingLesson(self.model.get_base_model(), lower)
            self.examined_states = None if states is None else states[here:]
            return VoteTrainer(
                model=self.model,
                args=settings,
                train_dataset=QuestionSet(self.kept, self.encoder, states and states[:here]),
                processing_class=load_tokenizer(folder),
                options=self.encoder.options,
                lesson=Lesson(
                    self.recipe.plain_first, self.recipe.other_weight, self.recipe.reading_weight
                ),
                reading=reading,
                places=lambda rows: ", ".join(self.kept[row].place for row in rows),
            )

    def _keep_states(self, lower: int) -> list[Path] | None:
        """Where the lower layers' states of all pairs are kept, if they are."""
        if (folder := self.recipe.lower_states) is None:
            return None
        trees = [self.encoder.tree(pair)[0] for pair in (*self.kept, *self.examined)]
        files = state_files(folder, self.run.manifest.model_digest, lower, trees)
        with progress("computing the lower layers", "pairs") as report:
            keep_lower_states(self.model.get_base_model(), trees, lower, files, report)
        return files

    def _label(self, states: list[Path] | None) -> None:
        """Let the teachers that the recipe names label people's pairs and strangers."""
        share, spread = self.recipe.probe_share, self.recipe.teacher_spread
        here = [*range(self.labelled), *range(len(self.kept) - self.strangers, len(self.kept))]
        pairs = [self.kept[row] for row in here]
        kept = None if states is None else [states[row] for row in here]
        if self.recipe.start_from and share < 1:
            pairs = labelled_by(pairs, self._asked_before(pairs, kept), 1.0, spread)
        if kept is not None and share:
            pairs = taught_by(pairs, self._probed(pairs, kept), share, spread)
        for row, pair in zip(here, pairs, strict=True):
            self.kept[row] = pair

    def _probed(self, pairs: Sequence[PairQuestions], states: Sequence[Path]) -> Taught:
        """What a probe says that learns what people said, of their pairs and of strangers."""
        with progress("probing", "pairs") as report:
            rows = []
            for number, (pair, file) in enumerate(zip(pairs, states, strict=True), start=1):
                rows.append(completion_difference(self.encoder, pair, read_states(file)))
                report(number, len(pairs))
        of_people = self.kept[: self.labelled]
        said = np.array([pair.asked[0].p_first for pair in of_people])
        groups = [opening(pair.conversation) for pair in of_people]
        taught = cross_fit(np.stack(rows), said, groups)
        self.probe = ProbeReport(pairs=len(said), right=taught.right, strength=taught.strength)
        self.run.message(f"a linear probe tells {taught.right:.3f} of {len(said)} pairs as people")
        return taught

    def _asked_before(
        self, pairs: Sequence[PairQuestions], states: Sequence[Path] | None
    ) -> Floats:
        """The earlier judge's log-odds of each pair's first completion; kept for a resumed run."""
        file = self.run.folder.path / EARLIER_VOTES
        if file.exists():
            return np.array(json.loads(file.read_bytes()))
        rows = QuestionSet(pairs, self.encoder, states)
        with progress("asking the earlier judge", "pairs") as report:
            logits = vote_logits(self.model, self.encoder.options, rows, report, ORDERS)
        logit_B = np.array([(one - other) / 2 for one, other in logits], dtype=np.float64)
        if self.run.processes.is_main:
            with replacing(file) as stream:
                stream.write(json.dumps(logit_B.tolist()).encode())
        return logit_B

    def examine(self) -> Examination:
        """The development pairs, judged by the model as it is now."""
        if not self.examined:
            return Examination()
        rows = QuestionSet(self.examined, self.encoder, self.examined_states)
        with progress("examining", "pairs") as report:
            logits = vote_logits(self.model, self.encoder.options, rows, report)
        return _examination(logits, self.said)


def _examination(logits: Sequence[Any], pairs: Sequence[LabelledPair]) -> Examination:
    """Each row holds the log-odds of A: both orders under the principle, then its opposite."""
    plain = np.array([np.sign(row[0] - row[1]) for row in logits])
    opposite = np.array([np.sign(row[2] - row[3]) for row in logits])
    said = np.array([np.sign(pair.preferred - 0.5) for pair in pairs])
    groups = [opening(pair.item.prompt) for pair in pairs]
    decided = plain != 0
    turned = (0.5 - 0.5 * plain * opposite)[decided]
    return Examination(
        right=share_estimate(0.5 + 0.5 * plain * said, groups),
        turned=share_estimate(turned, list(compress(groups, decided))) if len(turned) else None,
    )


def load_model(recipe: JudgeRecipe, device: str) -> tuple[Any, int]:
    """The model with its adapter, and how many layers below it stay as they are.

    A frozen base is loaded in bfloat16 on a GPU; on a CPU float32 is the faster one in torch, also
    where there are instructions for bfloat16 (measured: 150 against 83 GFLOP/s a core).
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(recipe.seed)
    narrow = device == "cuda" and recipe.lora is not None
    model = AutoModelForCausalLM.from_pretrained(
        str(model_folder(recipe.model)), dtype=torch.bfloat16 if narrow else torch.float32
    )
    settings: Any = lora_config(recipe.lora)
    if settings is None:
        return model, 0
    total = len(layers_of(model))
    lower = total - (recipe.upper_layers or total)
    if lower < 0:
        raise ConfigError(
            f"upper_layers is {recipe.upper_layers}, but the model has {total} layers; set fewer"
        )
    if lower:
        settings.layers_to_transform = list(range(lower, total))
        if settings.target_modules == "all-linear":
            # PEFT would take the name to mean all layers, whatever else it is told.
            settings.target_modules = {
                name.rpartition(".")[2]
                for name, module in layers_of(model)[-1].named_modules()
                if isinstance(module, torch.nn.Linear)
            }
    return get_peft_model(model.to(device), settings), lower
