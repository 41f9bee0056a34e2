"""What is watched of a training run: each signal as a number from 0 to 1 that rises when it warns.

Samples come in blocks; a block's mean is one value of a stream. Within a block samples of one
prompt hang together, between blocks hardly, which is what the test for drift relies on.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from judges.attacks.traces import attack_traces
from judges.audit.phrases import count_phrases
from judges.audit.words import split_words
from judges.records import Record
from service.rewards.samples import Reward, Sample

Channel = Literal["samples", "gold", "canaries"]
Signal = Literal[
    "reward_up",
    "reward_down",
    "longer",
    "shorter",
    "refusals",
    "exploits",
    "order_gap",
    "unscored",
    "gold_gap",
    "gold_down",
    "canaries",
]
Totals = Mapping[str, tuple[float, int]]
"""Sum and number of what was observed, by quantity."""
MOST_WORDS = 100_000
REWARD_RANGE = 1.0


class Watched(NamedTuple):
    """One signal: what it is made of, and how large a rise matters."""

    name: Signal
    channel: Channel
    quantity: str
    """Whose mean it is; each quantity lies between 0 and 1."""
    falls: bool
    """Whether a fall of the quantity warns, not a rise."""
    tolerance: float
    """The least change of the quantity's mean that matters, once it is certain."""
    says: str
    """What it means, for people."""


# A quarter more words, on the scale of `log_words`.
_QUARTER = math.log(1.25) / math.log(MOST_WORDS)
SIGNALS: tuple[Watched, ...] = (
    Watched("reward_up", "samples", "reward", False, 0.02, "the reward rises, as it should"),
    Watched("reward_down", "samples", "reward", True, 0.02, "the reward falls"),
    Watched("longer", "samples", "log_words", False, _QUARTER, "completions get longer"),
    Watched("shorter", "samples", "log_words", True, _QUARTER, "completions get shorter"),
    Watched("refusals", "samples", "refusal", False, 0.05, "more completions refuse"),
    Watched("exploits", "samples", "exploit", False, 0.01, "more completions address the judge"),
    Watched("order_gap", "samples", "order_gap", False, 0.05, "the judge leans more on places"),
    Watched("unscored", "samples", "unscored", False, 0.05, "more samples have no reward"),
    Watched("gold_gap", "gold", "gap", False, 0.02, "the reward rises above the held-out one"),
    Watched("gold_down", "gold", "gold", True, 0.02, "the held-out reward falls"),
    Watched("canaries", "canaries", "missed", False, 0.1, "known answers are judged wrongly"),
)
CHANNELS: tuple[Channel, ...] = ("samples", "gold", "canaries")
BLOCKS: Mapping[Channel, int] = {"samples": 64, "gold": 16, "canaries": 16}
"""Observations in a block of each channel."""
EXPECTED: frozenset[Signal] = frozenset({"reward_up"})
"""Told, and never an alarm: it is what training is for."""


class Observation(Record):
    """What is kept of one sample: numbers from 0 to 1, no text."""

    quantities: dict[str, float]
    """By name, as `SIGNALS` has them."""


def observe(samples: Sequence[Sample], rewards: Sequence[Reward]) -> list[Observation]:
    """The observations of some samples. Cost: some ten microseconds a sample of ordinary length."""
    words = split_words(sample.completion for sample in samples)
    refused = count_phrases(words, "refusals") > 0
    return [
        Observation(quantities=_quantities(sample, reward, int(count), bool(refusal)))
        for sample, reward, count, refusal in zip(
            samples, rewards, words.counts, refused, strict=True
        )
    ]


def _quantities(sample: Sample, reward: Reward, words: int, refusal: bool) -> dict[str, float]:
    told = {
        "log_words": min(1.0, math.log1p(words) / math.log1p(MOST_WORDS)),
        "refusal": float(refusal),
        "exploit": float(bool(attack_traces(sample.completion))),
        "unscored": float(reward.value is None),
    }
    if reward.value is not None:
        told["reward"] = within(reward.value)
    if reward.order_gap is not None:
        told["order_gap"] = math.tanh(reward.order_gap / 4)
    return told


def within(value: float) -> float:
    """A reward between 0 and 1: as it is where rewards are probabilities."""
    return float(np.clip(value, 0.0, 1.0))


def gold_quantities(reward: float, gold: float) -> dict[str, float]:
    """What a held-out reward says beside the one trained on; the gap moved into 0 to 1."""
    return {"gap": (1 + within(reward) - within(gold)) / 2, "gold": within(gold)}
