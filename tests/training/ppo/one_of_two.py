"""One of two processes of a step: `RANK=… python -m tests.training.ppo.one_of_two OUT`."""

import sys
from pathlib import Path
from typing import Any

import torch

from tests.training.ppo.test_learner import DRAWN, SCORES, make_learner, weights
from training.ppo.settings import Shaping


def main(out: Path) -> None:
    """One step on this process's half of the completions; rank 0 writes weights and metrics."""
    learner = make_learner(lora=True, adam_epsilon=1.0, learning_rate=1.0, epochs=2)
    rank = learner.accelerator.process_index
    assert learner.accelerator.num_processes == 2
    # Uneven halves: three completions and one.
    rows = ([0, 1, 2], [3])[rank]
    drawn, scores = [DRAWN[row] for row in rows], [SCORES[row] for row in rows]
    shaping = Shaping(whiten_rewards=True)
    metrics = learner.improve(drawn, learner.score(drawn), scores, shaping, 0.05, 1)
    told: dict[str, Any] = {"weights": weights(learner), "metrics": metrics}
    # Of three minibatches one process has rows for a single one: it waits for none, nor is waited
    # for, and learns from no row twice.
    learner = make_learner(lora=True, epochs=1, minibatches=3)
    learner.improve(drawn, learner.score(drawn), scores, shaping, 0.05, 1)
    told["steps"] = learner.optimizer.state_dict()["state"][0]["step"]
    told["in_step"] = learner.total(weights(learner)["value_head.weight"].clone())
    told["alone"] = weights(learner)["value_head.weight"]
    # Three passes here, one there, of scoring and of an update: neither waits for the other's.
    learner = make_learner(
        lora=True, adam_epsilon=1.0, learning_rate=1.0, epochs=2, micro_batch_tokens=1
    )
    told["apart"] = learner.improve(drawn, learner.score(drawn), scores, shaping, 0.05, 1)
    # A process that has nothing to score, as a server refused all its prompts, is not waited for.
    if rank == 0:
        learner.score(drawn)
    told["both"] = float(learner.total(torch.ones(())))
    torch.save(told, out / f"rank-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
