"""What all methods that learn from preference pairs share: their data, labels, and training."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from judges.formats.pairs import EVEN
from judges.policies import model_folder
from judges.progress import say
from training.data.lengths import Lengths, column_lengths
from training.data.pairs import PairData, load_pairs
from training.data.recipe import DataRecipe
from training.data.sources import Sources
from training.guard.guard import train_guarded
from training.guard.settings import GuardSettings
from training.methods.displacement import DisplacementWatch
from training.methods.loss_settings import LossSettings
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.recipe import DataUsed
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run

Labels = Literal["soft", "hard", "clamped"]
FIXED_BY_CHARTER = (
    "loss_type", "loss_weights", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef",
    "use_weighting", "discopop_tau",
)  # fmt: skip
"""What would change TRL's loss, which is not the one trained."""


class PairRecipe(DataRecipe):
    """A run that learns from preference pairs. Paths are relative to the working folder."""

    CONFIG: ClassVar[str] = "DPOConfig"

    preferences: Sources
    """Preference rows: a file, a folder that holds train.jsonl, or a mix of several."""
    labels: Labels = "soft"
    """Take `p_chosen` as the label of each pair; clamp it; or take the likelier side as certainly
    better, without ties."""
    clamp: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (
        0.4,
        0.6,
    )
    """Where labels = "clamped" cuts labels off (Bai et al. 2022, arXiv 2212.08073, section 4.3)."""

    guard: GuardSettings | None = None
    """Looks for over-optimisation while training, by completions drawn for it; absent: none."""

    @model_validator(mode="after")
    def _check_clamp(self) -> Self:
        if not self.clamp[0] < EVEN < self.clamp[1]:
            raise ValueError(
                f"clamp is {list(self.clamp)}; use one below 0.5 and one above, such as [0.4, 0.6]"
            )
        return self

    @abstractmethod
    def loss_settings(self) -> LossSettings | None:
        """The loss to train; None for TRL's own."""

    def data(self) -> PairData:
        """The pairs of this run, read and checked. Raises: DataError."""
        return load_pairs(self.preferences, self.labels, self.clamp, self)

    def data_used(self) -> Sequence[DataUsed]:
        """The preference files."""
        return self.data().used


def train_pairs(
    recipe: PairRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> RunSummary:
    """Train a policy on pairs; returns its summary. A finished run is returned when resumed.

    Raises: DataError for preferences or a run folder that cannot be used, or a full disk;
    ConfigError; ModelError when memory is full or the loss is no longer a number.
    """
    data = recipe.data()
    with open_run(recipe, data.used, resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(RunSummary)) is not None:
            return done
        from training.methods.completion_scores import scoring_completions_only

        data.tell(run.message)
        if recipe.loss_settings() is None:
            why = 'loss = "trl" counts all pairs alike; take a loss of charter\'s'
            for text in data.weights_left_aside(why):
                run.message(text)
        with scoring_completions_only(run.manifest.hardware.device):
            trainer = make_trainer(recipe, data, run)
            lengths = pair_lengths(trainer.train_dataset, 0, len(data.train), recipe.max_length)
            lengths.check(recipe, data.place, run.message)
            if data.held_out:
                pair_lengths(
                    trainer.eval_dataset, len(data.train), len(data.held_out), recipe.max_length
                ).tell_held_out(data.place_held_out, run.message)
            earlier = run.folder.read_metrics()
            run.watch(DisplacementWatch(run.message, _has_reference(recipe), earlier).see)
            train_guarded(recipe.guard, recipe, run, trainer)
        run.publish(trainer)
        return run.finish(RunSummary, **lengths.counts())


def _has_reference(recipe: PairRecipe) -> bool:
    loss = recipe.loss_settings()
    return loss is None or loss.needs_reference


def make_trainer(recipe: PairRecipe, data: PairData, run: Run) -> Any:
    """TRL's trainer, with charter's loss. Raises: ModelError, ConfigError."""
    from trl import DPOConfig

    from training.methods.pair_trainer import PairTrainer
    from training.runs.watched_trainer import collating_rows

    folder, loss = model_folder(recipe.model), recipe.loss_settings()
    tokenizer = load_tokenizer(folder)
    options = dict(run.manifest.trainer)
    if loss is not None:
        options["beta"] = loss.beta
        if not loss.needs_reference:
            options["precompute_ref_log_probs"] = True  # or TRL loads a reference model
    with building_trainer(folder):
        trainer = PairTrainer(
            model=str(folder),
            args=DPOConfig(**options),
            train_dataset=data.dataset(data.train),
            eval_dataset=data.dataset(data.held_out) if len(data.held_out) else None,
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            loss=loss,
            places=data.places,
        )
    return collating_rows(trainer, ("p_chosen", "weight"))


def pair_lengths(dataset: Any, first: int, rows: int, max_length: int) -> Lengths:
    """Which of so many pairs, numbered from `first`, TRL dropped and will cut: it says neither."""
    prompt, chosen, rejected = (
        column_lengths(dataset, name) for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    )
    from numpy import maximum

    kept = [row - first for row in dataset["row"]]
    return Lengths.of(rows, kept, prompt + maximum(chosen, rejected), max_length)
