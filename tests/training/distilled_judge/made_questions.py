"""Labelled pairs that a tiny model can learn, and questions about them."""

import json
from pathlib import Path
from typing import Any

from judges.cards.labelled import LabelledPair, parse_labelled
from judges.constitutions.files import parse_constitution
from training.distilled_judge.distil import JudgeRecipe
from training.distilled_judge.questions import Mixture

MIXTURE = Mixture(
    wordings=("Be brief.", "Prefer the brief one."), certainty=0.8, opposites=1, contrasts=2, seed=0
)


CONSTITUTION = """\
name: made
version: 1.0.0
title: Made for a test
licence: CC0-1.0
description: One judged principle.
principles:
  - id: plain
    family: clarity
    title: Plain
    text: The better completion is plainer.
"""
DIGEST = parse_constitution(CONSTITUTION.encode(), "made.yaml").digest


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A line: the better completion is the same everywhere."""
    line: dict[str, Any] = {
        "id": f"p{number}",
        "prompt": f"Which is better, {number}?",
        "chosen": "Be brief, be kind.",
        "rejected": f"Water is {'warm ' * (number % 5 + 1)}.",
    }
    return line | changes


def pair(number: int, **changes: Any) -> LabelledPair:
    """The line as a labelled pair."""
    return parse_labelled(row(number, **changes), f"made:{number}")


def ranking(number: int, p: float | None = 0.7) -> dict[str, Any]:
    """A ranking line whose judge gives the first of two completions this probability."""
    other = None if p is None else 1 - p
    return {
        "id": f"r{number}",
        "status": "scored",
        "prompt": [{"role": "user", "content": f"Which is better, {number}?"}],
        "completions": ["Tea is a drink.", "Water is warm, is it?"],
        "p": [[0.5, 0.9], [0.1, 0.5]],
        "ranking": [0, 1],
        "principles": {"plain": {"p": [[0.5, p], [other, 0.5]], "order_gap": 0.1}},
        "digests": {"constitution": DIGEST, "judge": "j", "calibration": None},
    }


def make_recipe(folder: Path, count: int = 24, **changes: Any) -> JudgeRecipe:
    """A recipe on the tiny policy in a folder, with its labelled pairs."""
    with (folder / "labelled.jsonl").open("w") as stream:
        stream.writelines(json.dumps(row(number)) + "\n" for number in range(count))
    trainer = {
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "bf16": False,
    }
    values: dict[str, Any] = {
        "model": str(folder / "model"),
        "family": "clarity",
        "labelled": (folder / "labelled.jsonl",),
        "wordings": MIXTURE.wordings,
        "output": folder / "run",
        "max_length": 2000,
        "held_out": 4,
        "development": 4,
        "device": "cpu",
        "lora": {"r": 4, "alpha": 8},
        "trainer": {**trainer, **changes.pop("trainer", {})},
    }
    return JudgeRecipe.model_validate({**values, **changes})
