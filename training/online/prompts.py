"""Prompts to sample from: read, checked, and as token ids of the policy."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from judges.canonical import digest
from judges.errors import ConfigError, DataError
from judges.formats.pairs import conversation_of
from judges.formats.rows import read_rows, rows_file
from judges.items import load_prompts
from judges.jsonl import read_jsonl
from judges.model import ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.records import Item, Message
from training.data.lengths import named
from training.runs.recipe import DataUsed


class Prompt(NamedTuple):
    """One prompt and how the policy reads it."""

    item: Item
    token_ids: tuple[int, ...]
    """Chat template included, up to where the policy answers."""


def read_prompts(path: Path) -> list[Item]:
    """The prompts of a file: charter's own lines, or the conversations of any that training reads.

    Raises: DataError naming file and line, or prompts that ask nothing.
    """
    items = load_prompts(path) if _are_own(path) else _foreign(path)
    empty = [item.id for item in items if not item.prompt or not item.prompt[-1].content.strip()]
    if empty:
        shown = ", ".join(map(repr, empty[:8]))
        raise DataError(
            f"{path}: {len(empty)} prompts are empty · ids {shown} · give them text, or drop them"
        )
    return items


def _are_own(path: Path) -> bool:
    """Whether a file has lines of `charter sample`, whose keys are all known."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    first = next(read_jsonl(path), (0, {"prompt": ""}))[1]
    return "prompt" in first and "ranking" not in first


def _foreign(path: Path) -> list[Item]:
    """The conversations of rows in any format, up to where the policy answers, each once."""
    found: dict[str, Item] = {}
    for number, row in read_rows(rows_file(path)):
        turns = conversation_of(row, f"{path}:{number}")
        while turns and turns[-1]["role"] == "assistant":
            turns = turns[:-1]
        if turns is not None:
            messages = tuple(Message.model_validate(turn) for turn in turns)
            key = digest([[one.role, one.content] for one in messages])
            found.setdefault(key, Item(id=f"{number}", prompt=messages, completions=()))
    if not found:
        raise DataError(f"{path}: no row with a conversation in it; there is nothing to sample for")
    return list(found.values())


def prompts_used(path: Path, items: Sequence[Item]) -> DataUsed:
    """What a manifest says of a prompts file."""
    with rows_file(path).open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return DataUsed(path=str(path), sha256=sha256, rows=len(items))


def encode_prompts(
    items: Sequence[Item], folder: Path, longest: int, say: Any, most: float = 1.0
) -> tuple[list[Prompt], int]:
    """Prompts of at most `longest` tokens, and how many were longer and are left out.

    Contents are inert: text in a prompt that looks like a special token is none.
    Raises: ConfigError when none is short enough, or a larger share than `most` is not.
    """
    encoder = PromptEncoder(folder)
    prompts = [
        Prompt(item, tuple(encoder.encode(ModelPrompt(messages=item.prompt)))) for item in items
    ]
    kept = [prompt for prompt in prompts if len(prompt.token_ids) <= longest]
    longer = [prompt.item.id for prompt in prompts if len(prompt.token_ids) > longest]
    if not kept:
        shortest = min(len(prompt.token_ids) for prompt in prompts)
        raise ConfigError(
            f"every prompt is longer than {longest} tokens (max_length less rollout.max_tokens; "
            f"the shortest has {shortest}); raise max_length"
        )
    told = (
        f"{len(longer)} of {len(prompts)} prompts are longer than {longest} tokens (max_length "
        f"less rollout.max_tokens): {named(range(len(longer)), longer.__getitem__)}"
    )
    if len(longer) > most * len(prompts):
        raise ConfigError(
            f"{told}; that is more than max_dropped = {most:g} allows: raise max_length, or "
            "max_dropped to leave them out"
        )
    if longer:
        say(f"{told}; left out")
    return kept, len(longer)
