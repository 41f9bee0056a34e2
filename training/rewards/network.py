"""The network of a reward model: a language model whose last state is read by linear heads."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from judges.aggregate import Floats
from judges.errors import ModelError
from training.rewards.batches import pad_texts
from training.rewards.examples import Ids
from training.runs.loading import lora_config
from training.runs.recipe import LoraSettings

TOKENS_AT_ONCE = 8192
"""Tokens, padding included, of a batch that is only read."""


class ExactHead(torch.nn.Linear):
    """Heads in float32, whatever the language model computes in: rewards of 4, told to 0.03 as
    bfloat16 tells them, would tie where completions differ.
    """

    @classmethod
    def of(cls, head: torch.nn.Linear) -> Self:
        """Heads of the same shape and weights."""
        made = cls(head.in_features, head.out_features, bias=False)
        made.weight.data.copy_(head.weight.data)
        return made

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Shapes: (…, D) → (…, H)."""
        with torch.autocast(states.device.type, enabled=False):
            return torch.nn.functional.linear(states.float(), self.weight.float())


def make_network(folder: Path, heads: int, pad_id: int, seed: int, dtype: str = "float32") -> Any:
    """A sequence classifier on a language model's weights, its heads drawn by the seed.

    Heads start with a spread of about 1 over random states (standard deviation 1/√(d+1): Huang et
    al. 2024, arXiv:2403.17031), and are float32 whatever the rest is.
    Raises: OSError, SafetensorError for weights that cannot be loaded; ModelError.
    """
    from transformers import AutoModelForSequenceClassification
    from transformers import logging as library_logging

    library_logging.disable_progress_bar()
    before = library_logging.get_verbosity()
    library_logging.set_verbosity_error()  # that the heads are new is no news
    try:
        network = AutoModelForSequenceClassification.from_pretrained(
            str(folder), num_labels=heads, dtype=getattr(torch, dtype)
        )
    finally:
        library_logging.set_verbosity(before)
    network.config.get_text_config().pad_token_id = network.config.pad_token_id = pad_id
    loaded = head_of(network, folder)
    head = network.score = ExactHead(loaded.in_features, loaded.out_features, bias=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.randn(head.weight.shape, generator=generator)
        head.weight.copy_(drawn / (head.in_features + 1) ** 0.5)
    return network


def head_of(network: Any, where: Any = "") -> torch.nn.Linear:
    """The linear layer that makes outputs of states. Raises: ModelError where there is none."""
    head = getattr(network, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            f"{where}: {type(network).__name__} has no linear `score` layer, so it cannot be a "
            "reward model here; use a decoder such as Llama, Qwen, Mistral or Gemma"
        )
    return head


def add_adapter(network: Any, lora: LoraSettings | None, *, checkpointing: bool) -> Any:
    """The network with a fresh adapter, its heads trained whole; or as it is."""
    if lora is None:
        return network
    from peft import get_peft_model

    if checkpointing:
        network.enable_input_require_grads()
    return get_peft_model(network, lora_config(lora, "SEQ_CLS"))


def load_network(folder: Path, dtype: str = "float32") -> Any:
    """A trained reward model: a whole one, or an adapter on its base, merged.

    Raises: ModelError for a folder that holds neither.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification
    from transformers import logging as library_logging

    library_logging.disable_progress_bar()
    kind = getattr(torch, dtype)
    try:
        if not (folder / "adapter_config.json").exists():
            network = AutoModelForSequenceClassification.from_pretrained(str(folder), dtype=kind)
            network.score = ExactHead.of(head_of(network, folder))
            return network.eval()
        return _merged(folder).to(kind).eval()
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{folder}: this reward model cannot be loaded: {error}") from error


def _merged(folder: Path) -> Any:
    """An adapter merged into its base, in float32: rounding twice would move rewards."""
    from peft import PeftModel

    from judges.policies import model_folder
    from training.runs.loading import load_tokenizer

    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    base = model_folder(config["base_model_name_or_path"])
    heads = json.loads((folder / "heads.json").read_text("utf-8"))
    network = make_network(base, len(heads["heads"]), load_tokenizer(folder).pad_token_id, 0)
    return PeftModel.from_pretrained(network, str(folder)).merge_and_unload()


def read_texts(
    network: Any,
    texts: Sequence[Sequence[int] | Ids],
    pad_id: int,
    *,
    states: bool = False,
    bfloat16: bool = False,
) -> Floats:
    """The raw outputs of texts, or the states that heads read, in order.

    Texts of like length are read together; the order does not change them but by rounding. With
    `bfloat16` matrices are multiplied in it, whatever the weights are in.
    Shapes: (S, H), or (S, D) with `states`.
    """
    device = next(network.parameters()).device
    seen: list[Any] = []
    hook: AbstractContextManager[Any] = nullcontext()
    if states:
        hook = head_of(network).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    rows: list[Any] = [None] * len(texts)
    network.eval()
    with torch.no_grad(), hook, torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for batch in _alike(texts):
            inputs = pad_texts([texts[i] for i in batch], pad_id)
            inputs = {name: value.to(device) for name, value in inputs.items()}
            found = network(**inputs, use_cache=False).logits
            if states:
                last = inputs["attention_mask"].sum(1) - 1
                found = seen.pop()[torch.arange(len(batch), device=device), last]
            for i, row in zip(batch, found.float().cpu().numpy(), strict=True):
                rows[i] = row
    return np.array(rows, np.float64)


def _alike(texts: Sequence[Sequence[int] | Ids]) -> list[list[int]]:
    """Places of texts, longest first, in batches of few enough tokens."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * len(texts[batches[-1][0]]) <= TOKENS_AT_ONCE:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
