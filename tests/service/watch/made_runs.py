"""Simulated training runs: stationary ones, and ones that go wrong in a known way."""

from collections.abc import Mapping

import numpy as np

from judges.calibration.estimates import FloatArray
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
