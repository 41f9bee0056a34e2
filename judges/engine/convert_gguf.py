"""Turn a GGUF file into a model folder: `python -m judges.engine.convert_gguf MODEL.gguf FOLDER`.

A script for a process of its own: it loads torch and transformers, which `judges` never does.
"""

import sys
from pathlib import Path


def convert(source: Path, folder: Path) -> None:
    """Write config, bfloat16 weights, tokenizer and chat template of a GGUF file into a folder.

    Cost: about 15 s and 2 GiB of memory for 135 million weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    # Without `dequantize`, transformers keeps the weights packed and refuses to save them.
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
