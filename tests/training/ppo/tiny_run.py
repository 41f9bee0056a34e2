"""PPO runs small enough for a test: a random model of 70,000 weights and rewards in Python."""

import asyncio
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.errors import ModelError
from judges.jsonl import read_jsonl
from judges.records import CompletionText, Item
from training.ppo.recipe import PpoRecipe
from training.runs.recipe import RunRecipe

TIMES = ("seconds/", "memory_gib/", "tokens_per_second/")


def count_e(_prompts: Sequence[Item], completions: Sequence[CompletionText]) -> list[float | None]:
    """The share of the letter e, which a random policy can learn to write."""
    return [one.text.count("e") / max(1, len(one.text)) for one in completions]


def nothing_but_nan(
    prompts: Sequence[Item], _completions: Sequence[CompletionText]
) -> list[float | None]:
    return [float("nan")] * len(prompts)


def constant(prompts: Sequence[Item], _completions: Sequence[CompletionText]) -> list[float | None]:
    return [0.5] * len(prompts)


def half_unscored(
    prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    values = count_e(prompts, completions)
    return [None if number % 2 else value for number, value in enumerate(values)]


def make_prompts(file: Path, count: int = 12) -> Path:
    lines = [{"id": f"p{n}", "prompt": f"Say {'more ' * (n % 4)}{n}."} for n in range(count)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def shared_values(folder: Path, model: Path, reward: str) -> dict[str, Any]:
    """What recipes of all methods that sample by steps have in common here."""
    return {
        "model": str(model),
        "prompts": make_prompts(folder / "prompts.jsonl"),
        "output": folder / "run",
        "device": "cpu",
        "max_length": 64,
        "steps": 4,
        "save_steps": 2,
        "lora": {"r": 4, "alpha": 8},
        "rewards": [{"kind": "python", "function": f"tests.training.ppo.tiny_run:{reward}"}],
        "rollout": {"max_tokens": 8},
        "patience": {"longest_s": 0.3, "first_wait_s": 0.05, "most_wait_s": 0.1},
    }


def make_recipe(folder: Path, model: Path, reward: str = "count_e", **changes: Any) -> PpoRecipe:
    """A recipe of a few steps; tables are added to what is here."""
    values: dict[str, Any] = {
        **shared_values(folder, model, reward),
        "prompts_per_step": 8,
        "optimisation": {"learning_rate": 1e-2, "epochs": 2, "minibatches": 2},
    }
    for name, change in changes.items():
        both = isinstance(change, dict) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **change} if both else change
    return PpoRecipe.model_validate(values)


def metrics(recipe: RunRecipe) -> list[dict[str, Any]]:
    """What the steps reported, less what a clock says."""
    return [
        {name: value for name, value in line.items() if not name.startswith(TIMES)}
        for _, line in read_jsonl(recipe.output / "metrics.jsonl")
    ]


def silent(text: str) -> None:
    assert text


def letters(_prompts: Sequence[Item], completions: Sequence[CompletionText]) -> list[float | None]:
    """The share of plain small letters."""
    return [
        sum("a" <= letter <= "z" for letter in one.text) / max(1, len(one.text))
        for one in completions
    ]


async def slow(
    prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    """As `count_e`, after a second."""
    await asyncio.sleep(1.0)
    return count_e(prompts, completions)


SWITCH = Path("no-such-file")


def while_there_is_no_switch(
    prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    """As `count_e`, away while a file exists."""
    if SWITCH.exists():
        raise ModelError("the judge is down")
    return count_e(prompts, completions)


def no_number_under_the_switch(
    prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    """As `count_e`, no number while a file exists."""
    if SWITCH.exists():
        return [float("nan") for _ in completions]
    return count_e(prompts, completions)


CALLS = itertools.count(1)


def away_in_the_other_process(
    prompts: Sequence[Item], completions: Sequence[CompletionText]
) -> list[float | None]:
    """As `count_e`; from its third call on away, but only where this is not the first process."""
    if next(CALLS) > 2 and os.environ["RANK"] != "0":
        raise ModelError("the judge is down")
    return count_e(prompts, completions)
