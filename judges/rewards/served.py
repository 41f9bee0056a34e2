"""What engine an exported reward model needs, whoever starts it."""

import shlex
import sys
from pathlib import Path

from judges.engine.command import Build, EngineSpec, engine_command, resolve
from judges.rewards.description import RewardDescription

POOLING = ("--runner", "pooling", "--convert", "classify")
PORT = 8001


def reward_engine(folder: Path, description: RewardDescription) -> EngineSpec:
    """A vLLM server that tells a reward model's outputs at `/classify`."""
    return EngineSpec(
        model=folder,
        max_model_len=description.max_length,
        dtype="auto" if description.dtype == "bfloat16" else description.dtype,
        extra_flags=POOLING,
    )


def serve_command(folder: Path, description: RewardDescription, build: Build) -> list[str]:
    """The words of the command that serves a reward model, the same that charter would start."""
    spec = resolve(reward_engine(folder, description), build)
    words = engine_command(spec, build)
    return [
        "python" if word == sys.executable else word.replace("{port}", str(PORT))
        for word in words
        if word != "{mark}"
    ]


def serve_script(folder: Path, description: RewardDescription, build: Build) -> str:
    """A script, to lie in the model's folder, that serves it from wherever the folder is moved."""
    words = serve_command(folder, description, build)
    here = str(folder.absolute())
    told = " ".join("." if word == here else shlex.quote(word) for word in words)
    lines = [
        "#!/bin/sh",
        f"# Serves this reward model on port {PORT}; a later --port or --host goes before.",
        '# Rewards are raw with {"use_activation": false} in the request, else vLLM squashes them.',
        'cd "$(dirname "$0")" || exit 1',
        "export OMP_WAIT_POLICY=PASSIVE VLLM_NO_USAGE_STATS=1",
    ]
    if build == "cpu":
        lines.append('export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}"')
    return "\n".join([*lines, f'exec {told} "$@"', ""])
