"""Language models of a few thousand random weights."""

from typing import Any


def tiny_llama(
    seed: int = 0, vocabulary: int = 24, hidden: int = 16, spread: float = 0.3, **changes: Any
) -> Any:
    """A random LlamaForCausalLM in float32; a larger spread makes it surer of its tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_range": spread,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    }
    return LlamaForCausalLM(LlamaConfig(**{**shape, **changes})).float()


def lora_config(r: int = 4) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=r, lora_alpha=2 * r, target_modules="all-linear", task_type="CAUSAL_LM")
