"""What trainers are built from: the tokenizer, the adapter's settings, the library's config.

Each fault of a model folder or a recipe that a library finds is told as ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judges.errors import ConfigError, ModelError
from training.runs.recipe import LoraSettings
from training.runs.stops import is_disk_full

PAD_TOKENS = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]")


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, with a chat template, and a pad token that is no end of text.

    SmolLM2's own pad token is its end-of-turn token: whatever finds padding by its id would take
    the end of each turn for padding, and the policy would learn never to stop.
    Raises: ModelError.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # tokenizers raises plain Exceptions
        raise ModelError(f"{folder}: its tokenizer cannot be loaded: {error}") from error
    if not tokenizer.chat_template:
        raise ModelError(
            f"{folder}: the tokenizer has no chat template, so conversations cannot be written as "
            "the model reads them; put a chat_template.jinja into the folder, or start from an "
            "instruction-tuned model"
        )
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.pad_token = _fit_pad_token(tokenizer, folder)
    return tokenizer


def _fit_pad_token(tokenizer: Any, folder: Path) -> str:
    known = tokenizer.get_vocab()
    for token in PAD_TOKENS:
        if token in known and token != tokenizer.eos_token:
            return token
    raise ModelError(
        f"{folder}: the tokenizer has no pad token apart from its end of text; set pad_token in "
        "tokenizer_config.json to a token that texts do not hold"
    )


def lora_config(lora: LoraSettings | None, task_type: str = "CAUSAL_LM") -> Any:
    """PEFT's settings of an adapter; None to train all weights."""
    if lora is None:
        return None
    from peft import LoraConfig

    modules = lora.target_modules
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type=task_type,
    )


@contextmanager
def building_trainer(folder: Path) -> Iterator[None]:
    """Tell what a library refuses while a trainer is built as a fault of the model or the recipe.

    What is computed once beforehand is written then too: a full disk stays one.
    Raises: ModelError for weights that cannot be loaded, ConfigError for settings refused.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        if is_disk_full(error):
            raise
        raise ModelError(f"{folder}: this model cannot be loaded: {error}") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, (ConfigError, ModelError)):
            raise
        raise ConfigError(
            f"TRL refuses this recipe: {error}; change [trainer] or [lora]"
        ) from error
