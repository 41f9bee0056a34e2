"""Direct preference optimisation: a recipe and preference rows in, a trained policy out."""

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from judges.errors import ConfigError, ModelError
from judges.jsonl import replacing
from judges.policies import model_folder
from judges.progress import say
from judges.records import Record
from training.manifest import Manifest, make_manifest
from training.preference_data import PreferenceSet, read_preferences
from training.recipe import DpoRecipe, LoraSettings
from training.run_folder import RunFolder

Progress = Callable[[int, int, float], None]

ENVIRONMENT = {
    # Threads that spin while they wait make a step several times slower on shared cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PAD_TOKENS = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]")
NOT_PUBLISHED = ("README.md", "training_args.bin")
"""TRL's generic card and a pickle; both name folders of this machine."""


class RunSummary(Record):
    """What came of a run; summary.json in its folder, beside the policy."""

    output: Path
    """The run folder, which is also the policy's."""
    steps: int
    """Optimiser steps done, over all the times the run was resumed."""
    pairs: int
    """Preference pairs trained on."""
    pairs_dropped: int
    """Pairs whose prompt alone is max_length tokens or more."""
    pairs_cut: int
    """Pairs with a completion cut off at max_length."""
    first_loss: float | None
    """Loss of the first step."""
    last_loss: float | None
    """Loss of the last step."""
    seconds: float
    """Time since this run was started, or last resumed."""


def train_dpo(
    recipe: DpoRecipe,
    *,
    resume: bool = False,
    progress: Progress = lambda _step, _total, _loss: None,
    message: Callable[[str], None] = say,
) -> RunSummary:
    """Train a policy; returns its summary. A finished run is returned as it is when resumed.

    A resumed run goes on from the last complete checkpoint with the same losses as if it had
    never stopped (metrics averaged over several steps excepted: `logging_steps` above 1).
    Raises: DataError for preferences or a run folder that cannot be used, or a full disk;
    ConfigError; ModelError when the loss is no longer a number.
    """
    start = time.monotonic()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    preferences = read_preferences(recipe.preferences, recipe.labels)
    manifest = make_manifest(recipe, preferences)
    with RunFolder.claim(recipe.output, manifest, resume=resume) as run, run.disk():
        if run.summary.exists():
            message(f"{recipe.output}: this run is finished already")
            return RunSummary.model_validate_json(run.summary.read_bytes())
        return _train(manifest, preferences, run, start, progress, message)


def _train(
    manifest: Manifest,
    preferences: PreferenceSet,
    run: RunFolder,
    start: float,
    progress: Progress,
    message: Callable[[str], None],
) -> RunSummary:
    _quieten_libraries()
    from training.soft_label_dpo import scoring_completions_only

    checkpoint = run.last_checkpoint(message)
    step, folder = checkpoint or (0, None)
    if checkpoint:
        message(f"{run.path}: going on from the checkpoint of step {step}")
    run.cut_metrics(step)
    with scoring_completions_only(manifest.hardware.device):
        trainer = _make_trainer(manifest, preferences, run, progress)
        dropped, cut = _count_truncated(trainer, preferences, manifest.recipe, message)
        trainer.restore_token_count(run.read_metrics())
        trainer.train(resume_from_checkpoint=str(folder) if folder else None)
    _publish(trainer, run.path, manifest.recipe.model)
    losses = [line["loss"] for line in run.read_metrics()]
    summary = RunSummary(
        output=run.path,
        steps=trainer.state.global_step,
        pairs=len(preferences.pairs) - dropped,
        pairs_dropped=dropped,
        pairs_cut=cut,
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
        seconds=round(time.monotonic() - start, 1),
    )
    with replacing(run.summary) as file:
        file.write(summary.model_dump_json(indent=2).encode())
    return summary


def _quieten_libraries() -> None:
    """Import TRL without its notices; progress and results are ours to show."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM versions")
        try:
            import trl.trainer.dpo_trainer  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"TRL cannot be imported ({error}); run `pip install 'charter[training]'`"
            ) from error
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _make_trainer(
    manifest: Manifest, preferences: PreferenceSet, run: RunFolder, progress: Progress
) -> Any:
    from datasets import Dataset
    from safetensors import SafetensorError
    from transformers import PrinterCallback
    from trl import DPOConfig

    from training.metrics import MetricsCallback
    from training.soft_label_dpo import LabelledPairCollator, SoftLabelDPOTrainer

    recipe, folder = manifest.recipe, model_folder(manifest.recipe.model)
    tokenizer = _load_tokenizer(folder)
    columns = {"prompt", "chosen", "rejected", "p_chosen"}
    rows = [
        {**pair.model_dump(include=columns), "row": row}
        for row, pair in enumerate(preferences.pairs)
    ]
    try:
        settings = DPOConfig(**manifest.trainer)
        trainer = SoftLabelDPOTrainer(
            model=str(folder),
            args=settings,
            data_collator=LabelledPairCollator(
                pad_token_id=tokenizer.pad_token_id,
                max_length=recipe.max_length,
                pad_to_multiple_of=settings.pad_to_multiple_of,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=_lora_config(recipe.lora),
            callbacks=[MetricsCallback(run, progress)],
            soft=recipe.labels == "soft",
            places=preferences.places,
        )
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: this model cannot be loaded: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"TRL refuses this recipe: {error}; change [trainer] or [lora]"
        ) from error
    trainer.remove_callback(PrinterCallback)
    return trainer


def _load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, with a pad token that is no end of text.

    SmolLM2's own pad token is its end-of-turn token: whatever finds padding by its id would take
    the end of each turn for padding, and the policy would learn never to stop.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: its tokenizer cannot be loaded: {error}") from error
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        known = tokenizer.get_vocab()
        fit = [token for token in PAD_TOKENS if token in known and token != tokenizer.eos_token]
        if not fit:
            raise ModelError(
                f"{folder}: the tokenizer has no pad token apart from its end of text; set "
                "pad_token in tokenizer_config.json to a token that texts do not hold"
            )
        tokenizer.pad_token = fit[0]
    return tokenizer


def _lora_config(lora: LoraSettings | None) -> Any:
    if lora is None:
        return None
    from peft import LoraConfig

    modules = lora.target_modules
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )


def _count_truncated(
    trainer: Any, preferences: PreferenceSet, recipe: DpoRecipe, message: Callable[[str], None]
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


def _publish(trainer: Any, folder: Path, model: str) -> None:
    """Put the policy into the run folder, its config file last, so that it is there whole or not.

    An adapter names its base as the recipe does: the folder of this machine means nothing on
    another.
    """
    unfinished = folder / ".policy"
    shutil.rmtree(unfinished, ignore_errors=True)
    trainer.save_model(str(unfinished))
    adapter = unfinished / "adapter_config.json"
    if adapter.exists():
        config = {**json.loads(adapter.read_text("utf-8")), "base_model_name_or_path": model}
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()  # PEFT writes a set, in any order
        adapter.write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")
    files = [file for file in unfinished.iterdir() if file.name not in NOT_PUBLISHED]
    for file in sorted(files, key=lambda file: file.name in ("adapter_config.json", "config.json")):
        file.replace(folder / file.name)
    shutil.rmtree(unfinished, ignore_errors=True)
