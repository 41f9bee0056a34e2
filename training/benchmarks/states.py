"""Reward models whose language model is frozen: states are read once, heads fitted many times.

A head on fixed states is a convex problem with one answer, so that what is compared differs in its
labels alone and not in luck. How strongly it is held small is chosen for each set of labels by
cross-validation on these very labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import solve

from judges.aggregate import Floats, sigmoid
from judges.canonical import digest
from judges.errors import DataError
from judges.policies import model_folder
from judges.rewards.encoding import RewardEncoder
from training.rewards.accuracy import outcomes
from training.rewards.examples import RankedPrompt, keep_completions

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 4
MOST_STEPS = 50


@dataclass(frozen=True)
class StatedPrompt:
    """A prompt's labels, and the state of the language model at the end of each completion."""

    ranked: RankedPrompt
    states_ND: Floats


def read_states(
    prompts: Sequence[RankedPrompt], model: str, most: int, longest: int, kept: Path | None = None
) -> list[StatedPrompt]:
    """The states of the first prompts that have a pair of completions short enough.

    Cost: one reading of each completion; none where `kept` holds the states of the same texts.
    Raises: DataError when no prompt is left.
    """
    folder = model_folder(model)
    encoder = RewardEncoder(folder)
    found: list[RankedPrompt] = []
    texts: list[list[int]] = []
    for one in prompts:
        if len(found) == most:
            break
        ids = [encoder.completion(one.prompt, completion) for completion in one.completions]
        fit = [i for i, text in enumerate(ids) if len(text) <= longest]
        short = keep_completions(one, fit)
        if short.pairs:
            found.append(short)
            texts += [ids[i] for i in fit]
    if not found:
        raise DataError(f"no pair of completions within {longest} tokens; raise --max-length")
    states = _states(folder, texts, kept)
    ends = np.cumsum([len(one.completions) for one in found])
    parts = np.split(states, ends[:-1])
    return [StatedPrompt(one, part) for one, part in zip(found, parts, strict=True)]


def _states(folder: Path, texts: list[list[int]], kept: Path | None) -> Floats:
    """States, each dimension with mean 0 and spread 1, from a file where it holds them."""
    name = digest([str(folder), texts])
    if kept is not None and kept.exists():
        held = np.load(kept)
        if str(held["name"]) == name:
            return np.asarray(held["states"])
    from training.rewards.network import make_network, read_texts
    from training.runs.hardware import find_hardware
    from training.runs.loading import load_tokenizer

    pad_id = load_tokenizer(folder).pad_token_id
    hardware = find_hardware("auto")
    network = make_network(folder, 1, pad_id, 0, hardware.dtype).to(hardware.device)
    states = read_texts(network, texts, pad_id, states=True)
    spread = states.std(0)
    states = (states - states.mean(0)) / np.where(spread > 0, spread, 1.0)
    if kept is not None:
        np.savez(kept, name=name, states=states)
    return np.asarray(states)


def fit_heads(prompts: Sequence[StatedPrompt], labels: Sequence[Floats], decay: float) -> Floats:
    """The heads that least loss and decay · |w|² / 2 give, one for each head of the labels.

    The loss is that of `training.rewards.losses`: each prompt the mean over its pairs.
    Shapes: labels (H, N, N) each → (H, D).
    """
    return np.stack(
        [_fit(prompts, [label[head] for label in labels], decay) for head in range(len(labels[0]))]
    )


def _fit(prompts: Sequence[StatedPrompt], labels: Sequence[Floats], decay: float) -> Floats:
    gaps, told, weights = [], [], []
    for one, p in zip(prompts, labels, strict=True):
        i, j = np.nonzero(np.triu(~np.isnan(p), 1))
        gaps.append(one.states_ND[i] - one.states_ND[j])
        told.append(p[i, j])
        weights.append(np.full(len(i), 1 / max(len(i), 1)))
    x, p, weight = np.concatenate(gaps), np.concatenate(told), np.concatenate(weights)
    weight = weight / max(weight.sum(), 1e-12)
    if len(x) >= x.shape[1]:
        return _least(x, p, weight, decay)
    basis = np.linalg.qr(x.T)[0]  # the head lies in the span of the gaps
    return np.asarray(basis @ _least(x @ basis, p, weight, decay))


def _least(x: Floats, p: Floats, weight: Floats, decay: float) -> Floats:
    """The head of least loss, by Newton's method: some eight steps, where gradients need hundreds.

    Shapes: (n, D), (n,), (n,) → (D,).
    """

    def loss(head: Floats) -> float:
        gap = x @ head
        return float(weight @ (np.logaddexp(0, gap) - p * gap) + decay / 2 * head @ head)

    head = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        q = sigmoid(x @ head)
        slope = x.T @ (weight * (q - p)) + decay * head
        if np.abs(slope).max() < 1e-10:
            break
        bend = (x.T * (weight * q * (1 - q))) @ x
        bend.flat[:: len(bend) + 1] += decay
        step = solve(bend, slope, assume_a="pos")
        length, here, fall = 1.0, loss(head), slope @ step
        while loss(head - length * step) > here - 1e-4 * length * fall and length > 1e-6:
            length /= 2
        head = head - length * step
    return head


def choose_decay(prompts: Sequence[StatedPrompt], labels: Sequence[Floats]) -> float:
    """The decay under which heads best order the labels of prompts left out."""
    right: dict[float, float] = {}
    for decay in DECAYS:
        told: list[float] = []
        for fold in range(FOLDS):
            rest = [i for i in range(len(prompts)) if i % FOLDS != fold]
            heads = fit_heads([prompts[i] for i in rest], [labels[i] for i in rest], decay)
            for i in range(fold, len(prompts), FOLDS):
                rewards = prompts[i].states_ND @ heads.T
                for h in range(len(heads)):
                    told += outcomes(rewards[:, h], labels[i][h])
        right[decay] = float(np.mean(told)) if told else 0.0
    return max(DECAYS, key=lambda decay: right[decay])


def fit_best(prompts: Sequence[StatedPrompt], labels: Sequence[Floats]) -> Floats:
    """Heads under the decay that each is best with. Shapes: as `fit_heads`."""
    rows = []
    for head in range(labels[0].shape[0]):
        own = [label[head : head + 1] for label in labels]
        rows.append(fit_heads(prompts, own, choose_decay(prompts, own))[0])
    return np.stack(rows)


def split_prompts(
    prompts: Sequence[StatedPrompt], rng: np.random.Generator, share: float = 0.3
) -> tuple[list[int], list[int]]:
    """Places of prompts to train on, and of those left out."""
    order = rng.permutation(len(prompts)).tolist()
    cut = max(1, round(share * len(order)))
    return order[cut:], order[:cut]
