"""Preference pairs for audits: random texts, random labels, and whatever bias is planted."""

from collections.abc import Callable
from typing import Any

import numpy as np

from judges.audit.pairs import AuditPairs, log_odds
from judges.formats.left_out import LeftOut

WORDS = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in "nrst"]
Plant = Callable[[str], str]


def made(
    n: int,
    seed: int,
    plant: Plant | None = None,
    share: float = 0.0,
    chosen_side: float = 1.0,
    principles: dict[str, np.ndarray] | None = None,
) -> AuditPairs:
    """n pairs of which so large a share has something planted on one side.

    It is on the chosen side with probability `chosen_side`. Nothing else tells the sides apart.
    """
    rng = np.random.default_rng(seed)
    chosen, rejected = ([text(rng) for _ in range(n)] for _ in range(2))
    for index in np.flatnonzero(rng.random(n) < share) if plant else ():
        side = chosen if rng.random() < chosen_side else rejected
        assert plant is not None
        side[index] = plant(side[index])
    return columns(chosen, rejected, principles)


def columns(
    chosen: list[str],
    rejected: list[str],
    principles: dict[str, np.ndarray] | None = None,
    prompts: list[str] | None = None,
) -> AuditPairs:
    """Pairs from their texts, each of a prompt of its own unless prompts are given."""
    n = len(chosen)
    prompts = prompts or [
        f"question number {index} about {WORDS[index % 99]}" for index in range(n)
    ]
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    return AuditPairs(
        ids=[f"pair-{index}" for index in range(n)],
        prompts=prompts,
        chosen=chosen,
        rejected=rejected,
        p_chosen=np.full(n, 0.8),
        principles={name: log_odds(p) for name, p in (principles or {}).items()},
        groups=np.array([numbers[prompt] for prompt in prompts]),
        left_out=LeftOut(),
    )


def text(rng: np.random.Generator, least: int = 20, most: int = 30) -> str:
    """Some random words, in sentences."""
    words = rng.choice(WORDS, rng.integers(least, most))
    return " ".join(words[:10]) + ". " + " ".join(words[10:]) + "."


def ranking(
    p: list[list[float | None]], gap: float | None = None, **changed: Any
) -> dict[str, Any]:
    """A ranking line with this matrix under its only principle."""
    return {
        "id": "r",
        "status": "scored",
        "prompt": [{"role": "user", "content": "hi"}],
        "completions": [f"text {index}" for index in range(len(p))],
        "p": p,
        "ranking": list(range(len(p))),
        "principles": {"kind": {"p": p, "order_gap": gap}},
        "digests": {},
        **changed,
    }
