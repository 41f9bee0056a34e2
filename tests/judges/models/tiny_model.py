"""Tokenizer files of models small enough to make in a test, in the three common designs."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer, UnigramTrainer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]")
DECLARED_PLAIN = ("<think>", "</think>")
"""Control tokens that their makers declare as not special."""
TEXTS = [
    "You judge completions of a conversation. Answer: A Answer: B Answer: yes Answer: no",
    "system user assistant tool completion A completion B Principle: Which is better, A or B?",
    "Tea is a drink made of leaves. Water is warm.\n===\nBe brief, be kind.\n",
] * 3


def byte_level_bpe() -> Tokenizer:
    """As SmolLM2, Llama 3 and Qwen: every text has tokens; special tokens are in the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in DECLARED_PLAIN])
    return tokenizer


def unigram() -> Tokenizer:
    """As Llama 2: a mark for spaces, one put in front; special pieces are pieces like others."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Prepend("▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=200,
        special_tokens=["<unk>", *SPECIAL],
        unk_token="<unk>",
        initial_alphabet=[*map(chr, range(32, 127)), "\n"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in DECLARED_PLAIN])
    return tokenizer


def spelling_bpe() -> Tokenizer:
    """As byte_level_bpe, but its merges spell `<s>`, and whole words skip the merges."""
    parsed = json.loads(byte_level_bpe().to_str())
    vocabulary = parsed["model"]["vocab"]
    vocabulary["<s"] = max(vocabulary.values()) + 10
    parsed["model"]["merges"] = [["<", "s"], ["<s", ">"], *parsed["model"]["merges"]]
    parsed["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(parsed))


DESIGNS = {"byte-level": byte_level_bpe, "unigram": unigram, "spelling": spelling_bpe}


def write_model(
    folder: Path,
    tokenizer: Tokenizer,
    template: str | None = CHATML,
    config: dict[str, Any] | None = None,
) -> Path:
    """A folder with the tokenizer files of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    written = {"bos_token": "<s>", "eos_token": {"content": "<|im_end|>"}} | (config or {})
    (folder / "tokenizer_config.json").write_text(json.dumps(written), encoding="utf-8")
    return folder
