"""A language model small enough to train in a test, and preference rows it can learn."""

import json
from pathlib import Path
from typing import Any

from tests.judges.models.tiny_model import byte_level_bpe, write_model
from training.methods.dpo import DpoRecipe

SETTINGS = {
    "max_steps": 6,
    "save_steps": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",
}


def make_policy(folder: Path, seed: int = 0, hidden: int = 32, heads: int = 4) -> Path:
    """A random LlamaForCausalLM of some 70,000 weights, whose pad token is its end of turn."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    write_model(folder, byte_level_bpe(), config=config)
    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=700,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=heads,
        tie_word_embeddings=True,
        eos_token_id=2,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def make_preferences(file: Path, count: int = 16, p_chosen: float = 0.9) -> Path:
    """Rows that prefer one fixed answer to others."""
    with file.open("w") as stream:
        for number in range(count):
            stream.write(json.dumps(preference(number, p_chosen)) + "\n")
    return file


def preference(number: int, p_chosen: float) -> dict[str, Any]:
    """One preference row."""
    return {
        "prompt": [{"role": "user", "content": f"Which is better, {number}?"}],
        "chosen": [{"role": "assistant", "content": "Be brief, be kind."}],
        "rejected": [{"role": "assistant", "content": f"Water is {'warm ' * (number % 5 + 1)}."}],
        "p_chosen": p_chosen,
        "digests": {"constitution": "c" * 64, "judge": "j" * 64, "calibration": None},
    }


def make_recipe(folder: Path, **changes: Any) -> DpoRecipe:
    """A recipe on the tiny policy in a folder; `trainer` is added to its settings."""
    trainer = {**SETTINGS, **changes.pop("trainer", {})}
    values: dict[str, Any] = {
        "model": str(folder / "model"),
        "preferences": folder / "preferences.jsonl",
        "output": folder / "run",
        "device": "cpu",
        "lora": {"r": 4, "alpha": 8},
        "trainer": trainer,
    }
    return DpoRecipe.model_validate({**values, **changes})
