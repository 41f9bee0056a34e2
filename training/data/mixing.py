"""Which rows are trained on: sets mixed by weight, prompts held out, copies and leaks taken out."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from judges.audit.copies import copy_numbers
from judges.canonical import digest
from judges.formats.messages import Messages

T = TypeVar("T")


def shares(sizes: Sequence[int], weights: Sequence[float | None]) -> list[int]:
    """How many rows of each set go into a mix: all of them, or as many as the weights allow.

    With weights the mix is as large as can be without repeating a row. A set without a weight
    counts as weight 1.
    """
    if all(weight is None for weight in weights):
        return list(sizes)
    parts = [1.0 if weight is None else weight for weight in weights]
    whole = min(size / part for size, part in zip(sizes, parts, strict=True))
    return [min(size, round(whole * part)) for size, part in zip(sizes, parts, strict=True)]


def mix(parts: Sequence[Sequence[T]], counts: Sequence[int], seed: int) -> list[T]:
    """So many rows of each set, drawn without replacement, in the sets' own order."""
    generator = np.random.default_rng(seed)
    mixed: list[T] = []
    for part, count in zip(parts, counts, strict=True):
        taken = np.sort(generator.permutation(len(part))[:count])
        mixed += [part[index] for index in taken.tolist()]
    return mixed


def is_held_out(prompt: Messages, share: float) -> bool:
    """Whether a prompt is kept for evaluation: by its own digest, so that more data moves none."""
    return share > 0 and int(digest(list(prompt))[:13], 16) / 16**13 < share


def plain_text(messages: Messages) -> str:
    """A conversation's turns as one text; system turns left out, which many prompts share."""
    told = [turn["content"] for turn in messages if turn["role"] != "system"]
    return "\n\n".join(told or [turn["content"] for turn in messages])


def leaked(prompts: Sequence[str], held_out: Sequence[str]) -> list[int]:
    """Which prompts stand among those held out, word for word or nearly. Cost: linear in words."""
    if not held_out:
        return []
    _, near = copy_numbers([*prompts, *held_out])
    found = np.isin(near[: len(prompts)], near[len(prompts) :])
    return [int(row) for row in np.flatnonzero(found)]
