"""Two processes on halves of a step make the very step that one makes of the whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from judges.engine.supervisor import free_port
from tests.training.ppo.test_learner import DRAWN, SCORES, make_learner, weights
from training.ppo.settings import Shaping


@pytest.mark.slow
def test_two_processes_make_the_step_of_one(tmp_path: Path) -> None:
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "ACCELERATE_USE_CPU": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.training.ppo.one_of_two", str(tmp_path)]
    running = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[3],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    whole = make_learner(lora=True, adam_epsilon=1.0, learning_rate=1.0, epochs=2)
    before = weights(whole)
    shaping = Shaping(whiten_rewards=True)
    metrics = whole.improve(DRAWN, whole.score(DRAWN), SCORES, shaping, 0.05, 1)
    for rank in "01":
        told = torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True)
        assert told["metrics"] == pytest.approx(metrics, rel=1e-3, abs=1e-5)
        for name, value in weights(whole).items():
            torch.testing.assert_close(told["weights"][name], value, atol=1e-5, rtol=1e-3)
        assert told["steps"] == 3
        torch.testing.assert_close(told["in_step"], 2 * told["alone"])
    moved = max(float((weights(whole)[name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-3
