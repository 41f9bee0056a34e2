"""KTO: single completions called good or bad, instead of pairs.

For labels that come as thumbs up and down, or pairs of which one side is of no use. Pairs are taken
apart: one good and one bad completion each. The rows are shuffled here once: TRL reads them in
order, since its estimate of the KL divergence pairs each prompt with its neighbour's completion,
and rows of pairs taken apart would come all good first, then all bad.
Source: Ethayarajh et al. 2024, arXiv:2402.01306.
"""

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import model_validator

from judges.errors import DataError
from judges.policies import model_folder
from judges.progress import say
from training.data.examples import ExampleData, good_and_bad_completions, load_examples
from training.data.lengths import Lengths, column_lengths
from training.data.recipe import DataRecipe
from training.data.sources import Sources
from training.guard.guard import train_guarded
from training.guard.settings import GuardSettings
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.recipe import DataUsed
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run


class KtoRecipe(DataRecipe):
    """A run of KTO. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "kto"
    CONFIG: ClassVar[str] = "KTOConfig"
    LEAST_BATCH: ClassVar[int] = 2

    examples: Sources
    """Completions with a `label`, or preference pairs, which are taken apart."""
    guard: GuardSettings | None = None
    """Looks for over-optimisation while training, by completions drawn for it; absent: none."""

    def data(self) -> ExampleData:
        """The rows of this run, read, checked and shuffled. Raises: DataError."""
        data = load_examples(self.examples, self, good_and_bad_completions)
        kinds = {row.good for row in data.train}
        if len(kinds) == 1:
            kind = "good" if kinds.pop() else "bad"
            raise DataError(
                f"{data.used[0].path}: all {len(data.train)} completions are {kind}; KTO learns "
                "from both kinds: add the other, or use `charter train sft`"
            )
        random.Random(self.seed).shuffle(data.train)
        return data

    def data_used(self) -> Sequence[DataUsed]:
        """The files of rows."""
        return self.data().used

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.trainer.get("per_device_train_batch_size", 8) < self.LEAST_BATCH:
            raise ValueError(
                "trainer.per_device_train_batch_size is 1, but KTO estimates the KL divergence "
                "within a batch; use 2 or more, and gradient_accumulation_steps for memory"
            )
        return self


def train_kto(
    recipe: KtoRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> RunSummary:
    """Train a policy; returns its summary. A finished run is returned when resumed.

    Raises: DataError, ConfigError, ModelError.
    """
    data = recipe.data()
    with open_run(recipe, data.used, resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(RunSummary)) is not None:
            return done
        from training.methods.completion_scores import scoring_completions_only

        data.tell(run.message)
        with scoring_completions_only(run.manifest.hardware.device):
            trainer = make_trainer(recipe, data, run)
            lengths = _lengths(trainer.train_dataset, 0, len(data.train), recipe)
            lengths.check(recipe, data.place, run.message)
            if data.held_out:
                held = _lengths(trainer.eval_dataset, len(data.train), len(data.held_out), recipe)
                held.tell_held_out(data.place_held_out, run.message)
            train_guarded(recipe.guard, recipe, run, trainer)
        run.publish(trainer)
        return run.finish(RunSummary, **lengths.counts())


def _lengths(rows: Any, first: int, count: int, recipe: KtoRecipe) -> Lengths:
    """Which of so many rows, numbered from `first`, TRL dropped and will cut: it says neither."""
    tokens = column_lengths(rows, "prompt_ids") + column_lengths(rows, "completion_ids")
    return Lengths.of(count, [row - first for row in rows["row"]], tokens, recipe.max_length)


def make_trainer(recipe: KtoRecipe, data: ExampleData, run: Run) -> Any:
    """TRL's trainer. Raises: ModelError, ConfigError."""
    from trl import KTOConfig, KTOTrainer

    from training.runs.watched_trainer import WatchedTrainer, collating_rows

    class UnpairedTrainer(WatchedTrainer, KTOTrainer):
        """TRL's trainer; a loss that is no number ends the run."""

    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    with building_trainer(folder):
        trainer = UnpairedTrainer(
            model=str(folder),
            args=KTOConfig(**run.manifest.trainer),
            train_dataset=data.dataset(data.train, labels=True),
            eval_dataset=data.dataset(data.held_out, labels=True) if data.held_out else None,
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            places=data.places,
        )
    return collating_rows(trainer)
