"""Rankings that a tiny model can learn: two principles that disagree, one of them with a scope."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.constitutions.files import load_constitution
from judges.engine.embedded import weights_digest
from judges.rewards.description import Head, RewardDescription, write_description
from tests.training.tiny_policy import make_policy
from training.rewards.network import make_network
from training.rewards.recipe import RewardRecipe
from training.runs.loading import load_tokenizer

SETTINGS = {
    "max_steps": 8,
    "save_steps": 2,
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
}
CONSTITUTION = """\
name: tea
version: 1.0.0
title: Tea
licence: CC0-1.0
principles:
  - {id: brief, family: form, title: Brief, text: Be brief.}
  - {id: water, family: matter, title: Water, text: Speak of water., applies_when: Is it of tea?}
"""
TEXTS = ("Tea.", "Tea is made of leaves and of nothing else.", "Water.", "Water " * 12)


def make_constitution(folder: Path) -> Constitution:
    """The constitution, as a file in the folder."""
    file = folder / "tea.yaml"
    file.write_text(CONSTITUTION)
    return load_constitution(str(file))


def tables(labels: Sequence[Sequence[int]]) -> dict[str, list[list[float]]]:
    """P by principle: sure of the order that the labels give."""
    return {
        name: [[0.5 + 0.45 * ((a > b) - (a < b)) for b in order] for a in order]
        for name, order in zip(("brief", "water"), labels, strict=True)
    }


def ranking(number: int, constitution: Constitution) -> dict[str, Any]:
    """One ranking line: shorter is briefer, and half the prompts are of tea."""
    of_tea = number % 2 == 0
    topic = "tea" if of_tea else "completions"
    p = tables([[-len(text) for text in TEXTS], ["Water" in text for text in TEXTS]])
    return {
        "id": str(number), "status": "scored", "reason": None,
        "prompt": [{"role": "user", "content": f"Which {topic} is better, {number}?"}],
        "completions": list(TEXTS),
        "p": p["brief"], "ranking": [0, 2, 1, 3],
        "principles": {
            "brief": {"p": p["brief"], "order_gap": None, "applies": 1.0},
            "water": {"p": p["water"], "order_gap": None, "applies": 0.95 if of_tea else 0.02},
        },
        "digests": {"constitution": constitution.digest, "judge": "j" * 64, "calibration": None},
    }  # fmt: skip


def make_recipe(folder: Path, model: Path, **changes: Any) -> RewardRecipe:
    """A recipe on rankings in the folder."""
    constitution = make_constitution(folder)
    with (folder / "rankings.jsonl").open("w") as file:
        for number in range(32):
            file.write(json.dumps(ranking(number, constitution)) + "\n")
    trainer = {**SETTINGS, **changes.pop("trainer", {})}
    values: dict[str, Any] = {
        "model": str(model),
        "rankings": folder / "rankings.jsonl",
        "constitution": str(folder / "tea.yaml"),
        "output": folder / "run",
        "device": "cpu",
        "held_out_share": 0.25,
        "trainer": trainer,
    }
    return RewardRecipe.model_validate({**values, **changes})


def make_exported(folder: Path, seed: int, *heads: Head) -> Path:
    """A reward model of random weights, as an export writes it."""
    make_policy(folder, seed)
    make_network(folder, len(heads), load_tokenizer(folder).pad_token_id, seed).save_pretrained(
        folder
    )
    told = RewardDescription(
        heads=heads, weights=weights_digest(folder), max_length=256, dtype="float32"
    )
    write_description(folder, told)
    return folder
