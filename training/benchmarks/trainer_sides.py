"""Charter's trainers and TRL's own, built from one recipe: same rows, model and arguments.

Charter's side is what `charter train` does from the recipe to the trainer. TRL's is a plain trainer
of TRL on the same rows, given the arguments that the run's manifest names. Nothing is saved.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from judges.jsonl import write_jsonl
from judges.policies import model_folder
from judges.rewards.encoding import RewardEncoder
from training.benchmarks.reward_encoding import WORDS
from training.methods.dpo import DpoRecipe
from training.methods.pairs import make_trainer as make_pair_trainer
from training.methods.sft import SftRecipe
from training.methods.sft import make_trainer as make_sft_trainer
from training.rewards.recipe import RewardRecipe, read_examples
from training.rewards.train import encode_prompts
from training.rewards.train import make_trainer as make_reward_trainer
from training.runs.loading import load_tokenizer
from training.runs.run import Run, open_run

Rows = list[dict[str, Any]]


class Job(NamedTuple):
    """What both sides are given."""

    model: str
    """Model folder, or `embedded`."""
    folder: Path
    """Where runs and the file of rows lie."""
    rows: Rows
    """Preference rows."""
    max_length: int
    """Tokens of a text at most: more than any has."""
    steps: int
    """Optimiser steps of a run."""
    batch: int
    """Rows a step."""

    @property
    def file(self) -> Path:
        """The rows, as the recipe names them."""
        return self.folder / "preferences.jsonl"


class Side(NamedTuple):
    """One way to train."""

    build: Callable[[], Any]
    """Makes a trainer."""
    train: Callable[[Any], Any]
    """Has it train."""
    frame: Callable[[], AbstractContextManager[Any]] = nullcontext
    """What both are done within."""


class Sides(NamedTuple):
    """The two that are compared."""

    charter: Side
    trl: Side


def make_rows(count: int, tokens: int) -> Rows:
    """Pairs of completions of a quarter of `tokens` common words up to all; the same each time."""
    rng = np.random.default_rng(0)

    def said(role: str, start: str, most: int) -> list[dict[str, str]]:
        words = rng.choice(WORDS, int(rng.integers(max(1, most // 4), most + 1)))
        return [{"role": role, "content": " ".join([start, *words])}]

    return [
        {
            "prompt": said("user", f"Question {number}:", 16),
            "chosen": said("assistant", "Yes,", tokens),
            "rejected": said("assistant", "No,", tokens),
            "p_chosen": 0.9,
        }
        for number in range(count)
    ]


def write_rows(job: Job) -> None:
    """The file that recipes read."""
    write_jsonl(job.file, job.rows)


@contextmanager
def sft_sides(job: Job) -> Iterator[Sides]:
    """Supervised fine-tuning on the chosen completions."""
    recipe = SftRecipe.model_validate(_recipe(job, "sft", examples=job.file))
    data = recipe.data()
    with open_run(recipe, data.used, resume=False, message=_nobody) as run:
        from trl import SFTConfig, SFTTrainer

        from training.methods.completion_scores import scoring_completions_only

        frame = partial(scoring_completions_only, run.manifest.hardware.device)
        rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in job.rows]
        theirs = partial(_build_trl, SFTTrainer, SFTConfig, job, run, rows)
        yield Sides(
            Side(lambda: make_sft_trainer(recipe, data, run)[0], run.train, frame),
            Side(partial(theirs, {"completion_only_loss": True}), _train_trl),
        )


@contextmanager
def reward_sides(job: Job) -> Iterator[Sides]:
    """A reward model with one head, on pairs: both encode two completions a prompt."""
    recipe = RewardRecipe.model_validate(_recipe(job, "reward", preferences=job.file))
    examples = read_examples(recipe)
    encoder = RewardEncoder(model_folder(job.model))
    encoded, _ = encode_prompts(examples.train, encoder, examples, job.max_length)
    with open_run(recipe, examples.used, resume=False, message=_nobody) as run:
        from trl import RewardConfig, RewardTrainer

        more = {"max_length": job.max_length, "center_rewards_coefficient": recipe.centring}
        theirs = partial(_build_trl, RewardTrainer, RewardConfig, job, run, _unlabelled(job))
        yield Sides(
            Side(lambda: make_reward_trainer(recipe, examples, encoded, run)[0], run.train),
            Side(partial(theirs, more), _train_trl),
        )


@contextmanager
def dpo_sides(job: Job) -> Iterator[Sides]:
    """DPO; what the reference model says is read before the first step, on both sides."""
    early = {"precompute_ref_log_probs": True}
    recipe = DpoRecipe.model_validate(_recipe(job, "dpo", early, preferences=job.file))
    data = recipe.data()
    with open_run(recipe, data.used, resume=False, message=_nobody) as run:
        from trl import DPOConfig, DPOTrainer

        from training.methods.completion_scores import scoring_completions_only

        frame = partial(scoring_completions_only, run.manifest.hardware.device)
        theirs = partial(_build_trl, DPOTrainer, DPOConfig, job, run, _unlabelled(job), {})
        yield Sides(
            Side(lambda: make_pair_trainer(recipe, data, run), run.train, frame),
            Side(theirs, _train_trl),
        )


SIDES: dict[str, Callable[[Job], AbstractContextManager[Sides]]] = {
    "sft": sft_sides,
    "reward": reward_sides,
    "dpo": dpo_sides,
}


def _recipe(
    job: Job, method: str, more: Mapping[str, Any] | None = None, **data: Path
) -> dict[str, Any]:
    trainer = {
        "max_steps": job.steps, "per_device_train_batch_size": job.batch, "learning_rate": 1e-6,
        "lr_scheduler_type": "constant", "save_strategy": "no", **(more or {}),
    }  # fmt: skip
    return {
        "model": job.model, "output": job.folder / method, "max_length": job.max_length,
        "trainer": trainer, **data,
    }  # fmt: skip


def _unlabelled(job: Job) -> Rows:
    return [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in job.rows]


def _build_trl(
    trainer: Any, config: Any, job: Job, run: Run, rows: Rows, more: Mapping[str, Any]
) -> Any:
    """A trainer of TRL's own, as its documentation makes one."""
    from datasets import Dataset

    folder = model_folder(job.model)
    options = {**run.manifest.trainer, **more, "output_dir": str(job.folder / "trl")}
    return trainer(
        model=str(folder),
        args=config(**options),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(folder),
    )


def _train_trl(trainer: Any) -> None:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # standard output is the benchmark's
    trainer.train()


def _nobody(_text: str) -> None:
    """Who listens to a run's messages."""
