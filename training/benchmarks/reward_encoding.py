"""The training step of a reward model on one prompt: all pairs at once, against pair by pair."""

import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import torch

from judges.policies import model_folder
from judges.records import Message
from judges.rewards.encoding import RewardEncoder
from training.rewards.batches import pad_texts
from training.rewards.losses import ranking_loss
from training.rewards.network import make_network
from training.runs.hardware import find_hardware
from training.runs.loading import load_tokenizer

WORDS = ["water", "leaf", "cup", "warm", "kettle", "steam", "slow", "garden", "morning", "quiet"]


def benchmark_reward_encoding(
    model: str, completions: int, tokens: int, repeats: int
) -> dict[str, Any]:
    """Seconds and tokens of a step both ways, turn about, and how far their gradients differ."""
    folder = model_folder(model)
    hardware = find_hardware("auto")
    pad_id = load_tokenizer(folder).pad_token_id
    network = make_network(folder, 1, pad_id, 0).to(hardware.device)
    texts = _texts(RewardEncoder(folder), completions, tokens)
    p = _labels(completions)

    def once() -> Any:
        return ranking_loss(_rewards(network, texts, pad_id, hardware)[None, None], p, ONE)

    def pairwise() -> Any:
        pairs = list(combinations(range(completions), 2))
        both = [texts[i] for pair in pairs for i in pair]
        rewards = _rewards(network, both, pad_id, hardware).reshape(len(pairs), 1, 2)
        tables = torch.stack([p[0][:, [i, j]][:, :, [i, j]] for i, j in pairs])
        return ranking_loss(rewards, tables, torch.ones(len(pairs), 1))

    ways: dict[str, Callable[[], Any]] = {"once": once, "pairwise": pairwise}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    gradients: dict[str, Any] = {}
    for name in [*ways, *(name for _ in range(repeats) for name in ways)]:  # the first warm up
        taken, gradients[name] = _step(network, ways[name])
        seconds[name].append(taken)
    medians = {name: float(np.median(taken[1:])) for name, taken in seconds.items()}
    apart = (gradients["once"] - gradients["pairwise"]).norm() / gradients["once"].norm()
    size = sum(map(len, texts))
    return {
        "device": hardware.name,
        "completions": completions,
        "pairs": completions * (completions - 1) // 2,
        "tokens": {"once": size, "pairwise": size * (completions - 1)},
        "seconds": {name: round(taken, 3) for name, taken in medians.items()},
        "times_faster": round(medians["pairwise"] / medians["once"], 2),
        "gradients_apart": float(apart),
    }


ONE = torch.ones(1, 1)


def _texts(encoder: RewardEncoder, completions: int, tokens: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    ask = (Message(role="user", content="What is tea?"),)
    return [
        encoder.completion(
            ask, (Message(role="assistant", content=" ".join(rng.choice(WORDS, tokens))),)
        )
        for _ in range(completions)
    ]


def _labels(completions: int) -> Any:
    logit = torch.linspace(-1, 1, completions)
    return torch.sigmoid(logit[:, None] - logit[None, :])[None, None]


def _rewards(network: Any, texts: list[list[int]], pad_id: int, hardware: Any) -> Any:
    batch = {name: one.to(hardware.device) for name, one in pad_texts(texts, pad_id).items()}
    with torch.autocast(hardware.device, torch.bfloat16, enabled=hardware.bfloat16):
        return network(**batch, use_cache=False).logits[:, 0].float().cpu()


def _step(network: Any, loss: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a forward and a backward, and the gradient of the last layer's weights."""
    network.zero_grad()
    start = time.perf_counter()
    loss().backward()
    taken = time.perf_counter() - start
    return taken, network.score.weight.grad.float().cpu().clone()
