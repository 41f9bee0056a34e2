"""Direct preference optimisation: a recipe and preference rows in, a trained policy out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from judges.errors import ConfigError
from judges.policies import model_folder
from judges.progress import say
from training.data.preferences import PreferenceSet, read_preferences
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.recipe import DataUsed, RunRecipe
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run

SOFT_LOSSES: tuple[Any, ...] = ("sigmoid", ["sigmoid"], ["sigmoid", "sft"])
"""What soft labels are defined for; `sft` adds the chosen side's likelihood, weighted."""
FIXED_BY_SOFT_LABELS = (
    "label_smoothing",
    "f_divergence_type",
    "ld_alpha",
    "use_weighting",
)


class DpoRecipe(RunRecipe):
    """A run of direct preference optimisation. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "dpo"
    CONFIG: ClassVar[str] = "DPOConfig"

    preferences: Path
    """Preference rows: a .jsonl file, or a folder that holds train.jsonl."""
    labels: Literal["soft", "hard"] = "soft"
    """Take `p_chosen` as the label of each pair, or take chosen as certainly better."""

    def data_used(self) -> tuple[DataUsed, ...]:
        """The preference file."""
        return (read_preferences(self.preferences, self.labels).used,)

    @model_validator(mode="after")
    def _check_soft_labels(self) -> Self:
        if self.labels == "hard":
            return self
        if self.trainer.get("loss_type", "sigmoid") not in SOFT_LOSSES:
            raise ValueError(
                f"trainer.loss_type is {self.trainer['loss_type']!r}, but soft labels are defined "
                'for the sigmoid loss only, or ["sigmoid", "sft"]; drop it, or set labels = "hard"'
            )
        for key in FIXED_BY_SOFT_LABELS:
            if key in self.trainer:
                raise ValueError(
                    f'trainer.{key} would change the loss that labels = "soft" fixes; drop it, '
                    'or set labels = "hard"'
                )
        return self


def train_dpo(
    recipe: DpoRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> RunSummary:
    """Train a policy; returns its summary. A finished run is returned as it is when resumed.

    Raises: DataError for preferences or a run folder that cannot be used, or a full disk;
    ConfigError; ModelError when memory is full or the loss is no longer a number.
    """
    preferences = read_preferences(recipe.preferences, recipe.labels)
    with open_run(
        recipe, [preferences.used], resume=resume, progress=progress, message=message
    ) as run:
        if (done := run.finished(RunSummary)) is not None:
            return done
        from training.methods.soft_label_dpo import scoring_completions_only

        with scoring_completions_only(run.manifest.hardware.device):
            trainer = make_trainer(recipe, preferences, run)
            dropped, cut = _count_truncated(trainer, preferences, recipe, message)
            run.train(trainer)
        run.publish(trainer)
        kept = len(preferences.pairs) - dropped
        return run.finish(RunSummary, rows=kept, rows_dropped=dropped, rows_cut=cut)


def make_trainer(recipe: DpoRecipe, preferences: PreferenceSet, run: Run) -> Any:
    """TRL's trainer, with soft labels. Raises: ModelError, ConfigError."""
    from datasets import Dataset
    from trl import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from training.methods.soft_label_dpo import SoftLabelDPOTrainer
    from training.runs.watched_trainer import RowCollator

    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    columns = {"prompt", "chosen", "rejected", "p_chosen"}
    rows = [
        {**pair.model_dump(include=columns), "row": row}
        for row, pair in enumerate(preferences.pairs)
    ]
    with building_trainer(folder):
        settings = DPOConfig(**run.manifest.trainer)
        collator = DataCollatorForPreference(
            pad_token_id=tokenizer.pad_token_id,
            max_length=recipe.max_length,
            pad_to_multiple_of=settings.pad_to_multiple_of,
        )
        return SoftLabelDPOTrainer(
            model=str(folder),
            args=settings,
            data_collator=RowCollator(collator, ("p_chosen",)),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            soft=recipe.labels == "soft",
            places=preferences.places,
        )


def _count_truncated(
    trainer: Any, preferences: PreferenceSet, recipe: DpoRecipe, message: Message
) -> tuple[int, int]:
    """How many pairs TRL dropped and how many it will cut: it says neither."""
    data = trainer.train_dataset
    dropped = len(preferences.pairs) - len(data)
    cut = sum(_is_longer(row, recipe.max_length) for row in data)
    if dropped == len(preferences.pairs):
        raise ConfigError(
            f"max_length is {recipe.max_length}, but every prompt is that long; raise max_length"
        )
    for count, what in ((dropped, "dropped: their prompt fills"), (cut, "cut off: longer than")):
        if count:
            message(f"{count} of {len(preferences.pairs)} pairs are {what} {recipe.max_length} "
                    "tokens (max_length)")  # fmt: skip
    return dropped, cut


def _is_longer(row: dict[str, Sequence[int]], max_length: int) -> bool:
    completion = max(len(row["chosen_ids"]), len(row["rejected_ids"]))
    return len(row["prompt_ids"]) + completion > max_length
