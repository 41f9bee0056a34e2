"""Supervised fine-tuning on revisions: the loss is of the completion's tokens alone.

Rows are written by the chat template and tokenised here, so that each one cut or dropped is known;
TRL packs, batches and trains.
Source: Bai et al. 2022, arXiv 2212.08073, section 3: revisions of all rounds, with helpful samples.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import model_validator

from judges.policies import model_folder
from judges.progress import say
from training.data.examples import Example, ExampleData, load_examples, wanted_completions
from training.data.lengths import Lengths
from training.data.recipe import DataRecipe
from training.data.sources import Sources
from training.guard.guard import train_guarded
from training.guard.settings import GuardSettings
from training.runs.loading import building_trainer, load_tokenizer, lora_config
from training.runs.recipe import DataUsed
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run

FIXED = {
    "completion_only_loss": "only completions are learnt",
    "assistant_only_loss": "only the last turn of a conversation is learnt",
    "dataset_text_field": "rows have prompt and completion",
    "formatting_func": "rows have prompt and completion",
    "truncation_mode": "completions are cut off at their end",
    "shuffle_dataset": "rows are drawn by `seed`",
}


class SftRecipe(DataRecipe):
    """A run of supervised fine-tuning. Paths are relative to the working folder."""

    METHOD: ClassVar[str] = "sft"
    CONFIG: ClassVar[str] = "SFTConfig"

    examples: Sources
    """What to learn: revisions, prompts with completions, conversations, or preferred answers."""
    guard: GuardSettings | None = None
    """Looks for over-optimisation while training, by completions drawn for it; absent: none."""

    def data(self) -> ExampleData:
        """The rows of this run, read and checked. Raises: DataError."""
        return load_examples(self.examples, self, wanted_completions)

    def data_used(self) -> Sequence[DataUsed]:
        """The files of rows."""
        return self.data().used

    @model_validator(mode="after")
    def _check_trainer(self) -> Self:
        for key, why in FIXED.items():
            if key in self.trainer:
                raise ValueError(f"trainer.{key} cannot be set here: {why}; drop it")
        return self


def train_sft(
    recipe: SftRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> RunSummary:
    """Fine-tune a model; returns its summary. A finished run is returned when resumed.

    Raises: DataError for rows or a run folder that cannot be used, or a full disk; ConfigError;
    ModelError when memory is full or the loss is no longer a number.
    """
    data = recipe.data()
    with open_run(recipe, data.used, resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(RunSummary)) is not None:
            return done
        from training.methods.completion_scores import scoring_completions_only

        data.tell(run.message)
        trainer, lengths = make_trainer(recipe, data, run)
        with scoring_completions_only(run.manifest.hardware.device):
            train_guarded(recipe.guard, recipe, run, trainer)
        run.publish(trainer)
        return run.finish(RunSummary, **lengths.counts())


def make_trainer(recipe: SftRecipe, data: ExampleData, run: Run) -> tuple[Any, Lengths]:
    """TRL's trainer, and what the length limit does to its rows. Raises: ModelError, DataError."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from training.runs.watched_trainer import WatchedTrainer, collating_rows

    class SupervisedTrainer(WatchedTrainer, SFTTrainer):
        """TRL's trainer; a loss that is no number ends the run."""

    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    rows, lengths = tokenise(tokenizer, data, data.train, recipe.max_length)
    lengths.check(recipe, data.place, run.message)
    held_out, lost = tokenise(tokenizer, data, data.held_out, recipe.max_length)
    lost.tell_held_out(data.place_held_out, run.message)
    with building_trainer(folder):
        trainer = SupervisedTrainer(
            model=str(folder),
            args=SFTConfig(completion_only_loss=True, **run.manifest.trainer),
            train_dataset=Dataset.from_dict(rows),
            eval_dataset=Dataset.from_dict(held_out) if held_out["row"] else None,
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            places=data.places,
        )
    return collating_rows(trainer), lengths


def tokenise(
    tokenizer: Any, data: ExampleData, examples: list[Example], max_length: int
) -> tuple[dict[str, list[Any]], Lengths]:
    """Columns of token ids, with 1 where a token is the completion's, of the rows that fit.

    A row whose prompt alone fills `max_length` has nothing to learn: it is left out.
    """
    columns: dict[str, list[Any]] = {"input_ids": [], "completion_mask": [], "row": []}
    tokens = []
    for number, (prompt, whole) in zip(
        data.numbers(examples), _token_ids(tokenizer, examples), strict=True
    ):
        start = _shared_start(prompt, whole)
        if start < max_length:
            columns["input_ids"].append(whole)
            columns["completion_mask"].append([0] * start + [1] * (len(whole) - start))
            columns["row"].append(number)
            tokens.append(len(whole))
    first = data.numbers(examples)[:1]
    kept = [row - (first[0] if first else 0) for row in columns["row"]]
    return columns, Lengths.of(len(examples), kept, tokens, max_length)


def _token_ids(tokenizer: Any, examples: list[Example]) -> Any:
    """Prompt, and prompt with completion, as the chat template writes them."""
    for example in examples:
        prompt = tokenizer.apply_chat_template(
            list(example.prompt), add_generation_prompt=True, return_dict=False
        )
        whole = tokenizer.apply_chat_template(
            [*example.prompt, *example.completion], return_dict=False
        )
        yield prompt, whole


def _shared_start(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """Where the completion starts: some templates write a prompt alone otherwise at its end."""
    for place, (one, other) in enumerate(zip(prompt, whole, strict=False)):
        if one != other:
            return place
    return min(len(prompt), len(whole))
