"""Training a reward model: a recipe and labelled prompts in, a model with its heads out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from judges.aggregate import Floats
from judges.calibration.estimates import Estimate
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.policies import model_folder
from judges.progress import say
from judges.records import Record
from judges.rewards.description import Head
from judges.rewards.encoding import RewardEncoder
from training.data.lengths import named
from training.rewards.accuracy import LengthNulls, accuracy, length_nulls
from training.rewards.examples import EncodedPrompt, RankedPrompt, keep_completions, relabel
from training.rewards.recipe import Examples, RewardRecipe, read_examples
from training.runs.loading import building_trainer, load_tokenizer
from training.runs.run import Message, Progress, Run, RunSummary, no_progress, open_run

HEADS_FILE = "heads.json"
M = TypeVar("M")


class HeadsFile(Record):
    """heads.json in a run folder: what the outputs are, and what they were trained on."""

    heads: tuple[Head, ...]
    """In the order of the outputs."""
    max_length: int
    """Longest text trained on, in tokens."""
    constitution: str | None
    """Digest of the constitution of the labels."""


class RewardSummary(RunSummary):
    """What came of training a reward model."""

    pairs: int
    """Labelled pairs trained on, of any head; under hard labels, without ties."""
    completions_dropped: int
    """Completions left out: longer than max_length with their prompt."""
    held_out_dropped: int = 0
    """Completions left out of what is measured on, for the same reason."""
    accuracy: dict[str, Estimate]
    """Of each head on pairs of prompts held out; empty where none were."""
    nulls: dict[str, LengthNulls] = Field(default_factory=dict)
    """What length alone gets right of the same pairs."""


def train_reward(
    recipe: RewardRecipe,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
    message: Message = say,
) -> RewardSummary:
    """Train a reward model; returns its summary. A finished run is returned as it is when resumed.

    Raises: DataError for data or a run folder that cannot be used, or a full disk; ConfigError;
    ModelError when memory is full or the loss is no longer a number.
    """
    examples = read_examples(recipe)
    with open_run(recipe, examples.used, resume=resume, progress=progress, message=message) as run:
        if (done := run.finished(RewardSummary)) is not None:
            return done
        for text in examples.told:
            run.message(text)
        encoder = RewardEncoder(model_folder(recipe.model))
        encoded, dropped = encode_prompts(examples.train, encoder, examples, recipe.max_length)
        _say_dropped(dropped, examples.train, recipe, run.message)
        encoded = _labelled(encoded, recipe)
        held_out, lost = encode_prompts(examples.held_out, encoder, examples, recipe.max_length)
        if lost:
            run.message(
                f"{len(lost)} completions held out are too long to be measured on (max_length): "
                f"{_named(lost)}"
            )
        trainer, network = make_trainer(recipe, examples, encoded, run)
        run.train(trainer)
        _publish(trainer, network, examples, recipe, run)
        rewards = _read_prompts(trainer, network, held_out, recipe)
        return run.finish(
            RewardSummary,
            rows=len(encoded),
            rows_dropped=len(examples.train) - len(encoded),
            pairs=sum(one.ranked.pairs for one in encoded),
            completions_dropped=len(dropped),
            held_out_dropped=len(lost),
            accuracy=_of_heads(partial(accuracy, rewards, _ranked(held_out)), examples, held_out),
            nulls=_of_heads(
                partial(length_nulls, rewards, _lengths(held_out), _ranked(held_out)),
                examples,
                held_out,
            ),
        )


def encode_prompts(
    prompts: Sequence[RankedPrompt],
    encoder: RewardEncoder,
    examples: Examples,
    max_length: int,
) -> tuple[list[EncodedPrompt], list[str]]:
    """Prompts as token ids, and the place of each completion that is left out as too long.

    A prompt that keeps no labelled pair is left out too.
    """
    found: list[EncodedPrompt] = []
    dropped: list[str] = []
    for row, one in enumerate(prompts):
        texts = [
            np.array(encoder.completion(one.prompt, completion), np.uint32)
            for completion in one.completions
        ]
        kept = [i for i, text in enumerate(texts) if len(text) <= max_length]
        dropped += [one.place] * (len(texts) - len(kept))
        ranked = keep_completions(one, kept)
        if not ranked.pairs:
            continue
        told = [texts[i] for i in kept]
        if examples.scope_heads:
            told.append(np.array(encoder.prompt(one.prompt), np.uint32))
        found.append(EncodedPrompt(row, tuple(told), ranked))
    return found, dropped


def _labelled(prompts: Sequence[EncodedPrompt], recipe: RewardRecipe) -> list[EncodedPrompt]:
    """The prompts with their labels as the recipe takes them, those that keep one.

    Raises: ConfigError where nothing is left.
    """

    def told(ranked: RankedPrompt) -> RankedPrompt:
        return replace(ranked, p_HNN=relabel(ranked.p_HNN, recipe.labels, recipe.clamp))

    labelled = [replace(one, ranked=told(one.ranked)) for one in prompts]
    left = [one for one in labelled if one.ranked.pairs]
    if not left:
        raise ConfigError(
            f"max_length is {recipe.max_length}, and no two completions of one prompt that differ "
            "in their labels are that short, so nothing is left to train on; raise max_length"
        )
    return left


def _say_dropped(
    dropped: Sequence[str], prompts: Sequence[RankedPrompt], recipe: RewardRecipe, message: Message
) -> None:
    total = sum(len(one.completions) for one in prompts)
    told = f"{len(dropped)} of {total} completions are longer than {recipe.max_length} tokens with "
    if len(dropped) > recipe.max_dropped * total:
        raise ConfigError(
            f"{told}their prompt (max_length): {_named(dropped)}; raise max_length, or max_dropped "
            f"({recipe.max_dropped:g}) to leave them out"
        )
    if dropped:
        message(f"{told}their prompt, and left out (max_length): {_named(dropped)}")


def _named(places: Sequence[str]) -> str:
    """The first few places, each once."""
    once = list(dict.fromkeys(places))
    return named(range(len(once)), once.__getitem__)


def make_trainer(
    recipe: RewardRecipe, examples: Examples, encoded: Sequence[EncodedPrompt], run: Run
) -> tuple[Any, Any]:
    """The trainer, and the whole network that it changes."""
    from transformers import TrainingArguments, set_seed

    from training.rewards.batches import PromptCollator
    from training.rewards.frozen import FeatureCollator, FrozenNetwork
    from training.rewards.network import add_adapter, make_network
    from training.rewards.trainer import RewardTrainer

    folder = model_folder(recipe.model)
    tokenizer = load_tokenizer(folder)
    RewardEncoder(folder).check_last(tokenizer.pad_token_id)
    set_seed(recipe.seed)  # an adapter's first weights are drawn before the trainer seeds anything
    with building_trainer(folder):
        given = {**run.manifest.trainer, "remove_unused_columns": False}
        if recipe.frozen:
            given["gradient_checkpointing"] = False  # there is no depth to save memory on
        settings = TrainingArguments(**given)
        if settings.n_gpu > 1:
            settings._n_gpu = (
                1  # DataParallel would cut prompts apart; `accelerate launch` does not
            )
        network = make_network(
            folder, len(examples.heads), tokenizer.pad_token_id, recipe.seed, recipe.dtype
        )
        collator: Any = PromptCollator(tokenizer.pad_token_id, scopes=bool(examples.scope_heads))
        if recipe.frozen:
            network.to(settings.device)  # a trainer would place, or shard, what it trains
            collator = FeatureCollator(collator, network, encoded, bfloat16=settings.bf16)
            trained: Any = FrozenNetwork(network)
        else:
            network = add_adapter(
                network, recipe.lora, checkpointing=settings.gradient_checkpointing
            )
            trained = network
        trainer = RewardTrainer(
            model=trained,
            args=settings,
            data_collator=collator,
            train_dataset=list(encoded),
            processing_class=tokenizer,
            places=examples.places,
            centring=recipe.centring,
            scope_heads=examples.scope_heads,
        )
    return trainer, network


def _publish(
    trainer: Any, network: Any, examples: Examples, recipe: RewardRecipe, run: Run
) -> None:
    from training.runs.publishing import publish

    told = HeadsFile(
        heads=examples.heads,
        max_length=recipe.max_length,
        constitution=examples.constitution.digest if examples.constitution else None,
    )
    if run.processes.is_main:
        with replacing(run.folder.path / HEADS_FILE) as file:
            file.write(told.model_dump_json(indent=1).encode())

    def save(folder: str) -> None:
        if run.processes.is_main:  # all hold all of it
            network.save_pretrained(folder)
            trainer.processing_class.save_pretrained(folder)

    way = save if recipe.frozen else trainer.save_model
    publish(way, run.folder.path, recipe.model, run.processes)


def _read_prompts(
    trainer: Any, network: Any, prompts: Sequence[EncodedPrompt], recipe: RewardRecipe
) -> list[Floats]:
    """The raw outputs of each prompt's completions. Shapes: (N, H) each."""
    from training.rewards.network import read_texts

    counts = [len(one.ranked.completions) for one in prompts]
    texts = [text for one, n in zip(prompts, counts, strict=True) for text in one.texts[:n]]
    if not texts:
        return []
    # As it was trained: sharded over processes, where it is.
    reader = network if recipe.frozen else trainer.model_wrapped
    pad_id = trainer.processing_class.pad_token_id
    outputs = read_texts(reader, texts, pad_id, bfloat16=trainer.args.bf16)
    return np.split(outputs, np.cumsum(counts)[:-1])


def _ranked(prompts: Sequence[EncodedPrompt]) -> list[RankedPrompt]:
    return [one.ranked for one in prompts]


def _lengths(prompts: Sequence[EncodedPrompt]) -> list[Floats]:
    """Tokens of each prompt's completions, the prompt's own included. Shapes: (N,) each."""
    return [
        np.array([len(text) for text in one.texts[: len(one.ranked.completions)]], float)
        for one in prompts
    ]


def _of_heads(
    measure: Callable[[int], M | None], examples: Examples, prompts: Sequence[EncodedPrompt]
) -> dict[str, M]:
    """A measure of each head that orders completions, where there are pairs to take it of."""
    heads = [n for n, head in enumerate(examples.heads) if head.kind != "applies" and prompts]
    found = {examples.heads[head].name: measure(head) for head in heads}
    return {name: value for name, value in found.items() if value is not None}
