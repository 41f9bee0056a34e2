"""Merge a LoRA adapter into its base: `python -m judges.engine.merge_adapter BASE ADAPTER FOLDER`.

A script for a process of its own: it loads torch and peft, which `judges` never does.
"""

import shutil
import sys
from pathlib import Path

TOKENIZER_FILES = ("tokenizer", "chat_template", "special_tokens", "vocab", "merges")


def merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write the merged model in float32, with the base's tokenizer files.

    bfloat16 would round away much of what a short training changed.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().save_pretrained(str(folder))
    for file in base.iterdir():
        if file.name.startswith(
            ("tokenizer", "chat_template", "special_tokens", "vocab", "merges")
        ):
            shutil.copy2(file, folder / file.name)


if __name__ == "__main__":
    merge(*map(Path, sys.argv[1:4]))
