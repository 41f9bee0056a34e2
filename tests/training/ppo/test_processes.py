"""Two processes: on halves of a step they make the very step of one; whole runs end, and stop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from judges.engine.supervisor import free_port
from judges.jsonl import read_jsonl
from tests.training.launching import launch
from tests.training.ppo.test_learner import DRAWN, SCORES, make_learner, weights
from tests.training.ppo.tiny_run import make_prompts
from tests.training.tiny_policy import make_policy
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
        assert told["apart"] == pytest.approx(metrics, rel=1e-3, abs=1e-5)
        for name, value in weights(whole).items():
            torch.testing.assert_close(told["weights"][name], value, atol=1e-5, rtol=1e-3)
        assert told["steps"] == 3
        torch.testing.assert_close(told["in_step"], 2 * told["alone"])
        assert told["both"] == 2
    moved = max(float((weights(whole)[name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-3


RECIPE = """\
model = "{folder}/model"
prompts = "{folder}/prompts.jsonl"
output = "{folder}/run"
device = "cpu"
max_length = 64
steps = 3
save_steps = 9
prompts_per_step = 4
lora = {{r = 4, alpha = 8}}
rollout = {{max_tokens = 4}}
optimisation = {{learning_rate = 1e-2, epochs = 1, minibatches = 2}}
patience = {{longest_s = 0.1, first_wait_s = 0.05}}
[[rewards]]
kind = "python"
function = "tests.training.ppo.tiny_run:{reward}"
"""


def run_on_two(folder: Path, reward: str) -> "subprocess.CompletedProcess[str]":
    make_policy(folder / "model")
    make_prompts(folder / "prompts.jsonl")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(folder=folder, reward=reward))
    return launch("ppo", recipe, processes=2)


@pytest.mark.slow
def test_a_run_on_two_processes_tells_and_publishes_once(tmp_path: Path) -> None:
    done = run_on_two(tmp_path, "half_unscored")
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "run"
    lines = [line for _, line in read_jsonl(run / "metrics.jsonl")]
    assert [line["step"] for line in lines] == [1, 2, 3]
    # Of four completions in each process, two have no reward.
    assert [(line["unscored"], line["refused"]) for line in lines] == [(4, 0)] * 3
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["rows"], summary["unscored"]) == (3, 12, 12)
    assert (run / "adapter_model.safetensors").exists()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-3"]


@pytest.mark.slow
def test_a_reward_that_is_away_for_one_of_two_leaves_a_checkpoint(tmp_path: Path) -> None:
    done = run_on_two(tmp_path, "away_in_the_other_process")
    assert done.returncode != 0
    assert "another process of this run stopped: reward 'away_in_the_other_process'" in done.stderr
    steps = [line["step"] for _, line in read_jsonl(tmp_path / "run" / "metrics.jsonl")]
    assert steps == [1, 2]
    saved = tmp_path / "run" / "checkpoints"
    assert [path.name for path in saved.iterdir()] == ["checkpoint-2"]
    assert (saved / "checkpoint-2" / "trainer_state.json").exists()
