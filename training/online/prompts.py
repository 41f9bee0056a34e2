"""Prompts to sample from: read, checked, and as token ids of the policy."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from judges.errors import ConfigError, DataError
from judges.items import load_prompts
from judges.model import ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.records import Item
from training.runs.recipe import DataUsed


class Prompt(NamedTuple):
    """One prompt and how the policy reads it."""

    item: Item
    token_ids: tuple[int, ...]
    """Chat template included, up to where the policy answers."""


def read_prompts(path: Path) -> list[Item]:
    """The prompts of a file. Raises: DataError naming prompts that ask nothing."""
    items = load_prompts(path)
    empty = [item.id for item in items if not item.prompt or not item.prompt[-1].content.strip()]
    if empty:
        shown = ", ".join(map(repr, empty[:8]))
        raise DataError(
            f"{path}: {len(empty)} prompts are empty · ids {shown} · give them text, or drop them"
        )
    return items


def prompts_used(path: Path, items: Sequence[Item]) -> DataUsed:
    """What a manifest says of a prompts file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return DataUsed(path=str(path), sha256=digest, rows=len(items))


def encode_prompts(
    items: Sequence[Item], folder: Path, longest: int, say: Any
) -> tuple[list[Prompt], int]:
    """Prompts of at most `longest` tokens, and how many were longer and are left out.

    Contents are inert: text in a prompt that looks like a special token is none.
    Raises: ConfigError when none is short enough.
    """
    encoder = PromptEncoder(folder)
    prompts = [
        Prompt(item, tuple(encoder.encode(ModelPrompt(messages=item.prompt)))) for item in items
    ]
    kept = [prompt for prompt in prompts if len(prompt.token_ids) <= longest]
    dropped = len(prompts) - len(kept)
    if not kept:
        shortest = min(len(prompt.token_ids) for prompt in prompts)
        raise ConfigError(
            f"every prompt is longer than {longest} tokens (max_length less rollout.max_tokens; "
            f"the shortest has {shortest}); raise max_length"
        )
    if dropped:
        say(f"{dropped} of {len(prompts)} prompts are left out: longer than {longest} tokens "
            "(max_length less rollout.max_tokens)")  # fmt: skip
    return kept, dropped
