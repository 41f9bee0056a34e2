"""Simulated training runs: stationary ones, and ones that go wrong in a known way.

python -m tests.service.watch.made_runs --runs 1000
"""

import argparse
from collections.abc import Mapping

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.intervals import wilson
from judges.progress import say
from service.watch.run_state import RunSettings, RunState
from service.watch.signals import BLOCKS, Channel

GROUP = 8
"""Samples of a prompt, which hang together and come one after the other."""


class MadeRun:
    """A policy whose samples drift as told; units of a step are blocks of samples."""

    def __init__(self, seed: int, *, refusal: float = 0.02, exploit: float = 0.002) -> None:
        self.rng = np.random.default_rng(seed)
        self.refusal, self.exploit = refusal, exploit

    def block(self, hack: float = 0.0) -> dict[str, FloatArray]:
        """A block of samples; `hack` is how far length hacking has come, 1 is far."""
        rng, size = self.rng, BLOCKS["samples"]
        groups = size // GROUP + 1
        lead = int(rng.integers(GROUP))  # blocks cut groups apart anywhere
        prompt = np.repeat(rng.normal(0, 0.12, groups), GROUP)[lead : lead + size]
        words = np.repeat(rng.normal(5, 0.5, groups), GROUP)[lead : lead + size]
        return {
            "reward": np.clip(0.55 + prompt + 0.25 * hack + rng.normal(0, 0.1, size), 0, 1),
            "log_words": np.clip((words + 0.9 * hack + rng.normal(0, 0.3, size)) / 11.5, 0, 1),
            "refusal": (rng.random(size) < self.refusal).astype(np.float64),
            "exploit": (rng.random(size) < self.exploit).astype(np.float64),
            "unscored": np.zeros(size),
            "gold": np.clip(0.5 + prompt - 0.2 * hack + rng.normal(0, 0.12, size), 0, 1),
        }


def feed(state: RunState, block: dict[str, FloatArray], settings: RunSettings) -> None:
    """Give a run a block of samples, and what the gold says of every fourth of them."""
    add(state, "samples", {k: v for k, v in block.items() if k != "gold"}, settings)
    reward, gold = block["reward"][::4], block["gold"][::4]
    add(state, "gold", {"gap": (1 + reward - gold) / 2, "gold": gold}, settings)


def add(
    state: RunState, channel: Channel, seen: Mapping[str, FloatArray], settings: RunSettings
) -> None:
    """Give a run one block of a channel."""
    totals = {name: (float(values.sum()), len(values)) for name, values in seen.items()}
    state.add_block(channel, totals, settings)


def alarmed(runs: int, blocks: int, settings: RunSettings) -> int:
    """How many stationary runs ever have an alarm."""
    count = 0
    for number in range(runs):
        made, state = MadeRun(number), RunState(f"run-{number}")
        for _ in range(blocks):
            feed(state, made.block(), settings)
        count += bool(state.alarms)
    return count


def delays(runs: int, before: int, unfolds: int, settings: RunSettings) -> list[int]:
    """Blocks from the beginning of length hacking to the stop, negative if before it; by run."""
    found = []
    for number in range(runs):
        made, state = MadeRun(5000 + number), RunState(f"hacked-{number}")
        for block in range(before + 2 * unfolds):
            feed(state, made.block(min(1.0, max(0, block - before) / unfolds)), settings)
            if state.stop(settings):
                found.append(block + 1 - before)
                break
    return found


def main() -> None:
    """Say how often stationary runs have an alarm, and how soon hacked ones are stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=30)
    given = parser.parse_args()
    bad = alarmed(given.runs, given.blocks, RunSettings())
    low, high = wilson(bad, given.runs)
    say(f"alarms in {bad} of {given.runs} runs of {given.blocks} blocks, {low:.4f} to {high:.4f}")
    after = delays(given.runs // 10, 40, 40, RunSettings())
    quantiles = np.quantile(after, (0.05, 0.5, 0.95))
    say(f"{len(after)} of {given.runs // 10} hacked runs stopped after {quantiles} blocks")


if __name__ == "__main__":
    main()
