"""Seeds that depend on what they are for and nothing else, so that a resumed run draws the same."""

from collections.abc import Iterator
from typing import Any

from judges.canonical import digest


def seed_for(*what: int | str) -> int:
    """A seed of 48 bits for one purpose: a run's seed, a step, a process, ..."""
    return int(digest(list(what))[:12], 16)


def prompt_rows(count: int, per_step: int, step: int, seed: int) -> list[int]:
    """Which prompts a step uses, counted from 1: each once before any comes twice.

    A function of its arguments alone: where a run stands is its step, and nothing to save.
    """
    wanted = range((step - 1) * per_step, step * per_step)
    return [row for _, row in zip(wanted, _endless(count, wanted.start, seed), strict=False)]


def _endless(count: int, start: int, seed: int) -> Iterator[int]:
    import random

    round_, skipped = divmod(start, count)
    while True:
        order: list[Any] = list(range(count))
        random.Random(seed_for(seed, "prompts", round_)).shuffle(order)
        yield from order[skipped:]
        round_, skipped = round_ + 1, 0
