"""Runs of several processes on a CPU, as `accelerate launch` and torchrun start them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def launch(method: str, recipe: Path, processes: int) -> "subprocess.CompletedProcess[str]":
    """`charter train METHOD --config RECIPE` in so many processes, to its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), str(ROOT / "charter.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "train", method, "--config", str(recipe)],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
