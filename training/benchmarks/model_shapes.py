"""Language models of a known shape whose weights are drawn at random: what is fast does not depend
on what was learnt, so the speed of a large model can be measured without its download."""

import shutil
from pathlib import Path
from typing import NamedTuple

from judges.errors import ConfigError
from judges.suggest import did_you_mean
from training.runs.loading import load_tokenizer

TOKENIZER_FILES = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt",
    "chat_template*",
)  # fmt: skip


class Shape(NamedTuple):
    """The sizes of a Llama whose embeddings are its head too."""

    hidden: int
    layers: int
    heads: int
    key_heads: int
    intermediate: int
    vocabulary: int = 49152


SHAPES = {
    "135m": Shape(576, 30, 9, 3, 1536),
    "360m": Shape(960, 32, 15, 5, 2560),
    "1.7b": Shape(2048, 24, 32, 32, 8192),
}
"""Those of SmolLM2."""


def find_shape(name: str) -> Shape:
    """The shape of that name. Raises: ConfigError."""
    if name not in SHAPES:
        raise ConfigError(
            f"--shape {name}: no such shape{did_you_mean(name, SHAPES)}; use {', '.join(SHAPES)}"
        )
    return SHAPES[name]


def write_random_model(folder: Path, shape: Shape, like: Path, device: str) -> Path:
    """A model folder of random bfloat16 weights, with the tokenizer of another; returns the first.

    Weights are drawn on the device: a CPU takes ten seconds a billion.
    Raises: ModelError for a tokenizer that cannot be used; ConfigError for one too large.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = load_tokenizer(like)
    if len(tokenizer) > shape.vocabulary:
        raise ConfigError(
            f"--model {like}: its tokenizer knows {len(tokenizer)} tokens, and the shape has "
            f"{shape.vocabulary}; name a model with a smaller vocabulary, or drop --shape"
        )
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    with torch.device(device):
        network = LlamaForCausalLM(config).to(torch.bfloat16)
    network.save_pretrained(folder)
    for pattern in TOKENIZER_FILES:
        for file in like.glob(pattern):
            shutil.copy(file, folder / file.name)
    return folder
