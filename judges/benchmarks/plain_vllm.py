"""Plain vLLM on given token ids: the baseline of `charter benchmark judge`, in its own process."""

import json
import sys
import time
from pathlib import Path


def main(request: Path) -> None:
    """Print seconds and prompts a second of `LLM.generate` over each run's ids, one token each."""
    from vllm import LLM, SamplingParams

    from judges.engine.command import cpu_dtype

    asked = json.loads(request.read_bytes())
    model = LLM(
        model=asked["model"],
        dtype=cpu_dtype(),
        max_model_len=4096,
        max_num_seqs=64,
        enforce_eager=True,
        block_size=32,
    )
    model.generate([{"prompt_token_ids": [1] * 64}] * 8, SamplingParams(max_tokens=1))
    told = {}
    for run in asked["runs"]:
        sampling = SamplingParams(
            max_tokens=1,
            temperature=0,
            logprobs=len(run["options"]),
            logprob_token_ids=run["options"],
        )
        prompts = [{"prompt_token_ids": ids} for ids in run["ids"]]
        start = time.monotonic()
        model.generate(prompts, sampling, use_tqdm=False)
        seconds = time.monotonic() - start
        told[run["name"]] = {
            "prompts": len(prompts),
            "seconds": round(seconds, 2),
            "prompts_per_second": round(len(prompts) / seconds, 2),
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
