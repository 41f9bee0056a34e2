"""A linear probe of the frozen lower layers as a teacher: what one person said of a pair is noisy.

A small adapter learns noisy labels by heart. A strongly regularised linear read-out of the mean
states of both completions does not, and says of each pair how sure one can be. Each pair's
probability comes from a probe that saw neither it nor a pair that opens alike (cross-fitting), so
that it holds nothing of the pair's own label.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from judges.errors import DataError
from training.distilled_judge.questions import PairQuestions, labelled_by
from training.distilled_judge.vote_encoder import VoteEncoder

Floats = NDArray[np.float64]
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Inverse regularisation of the logistic regression, on standardised features."""
FOLDS = 10


class Taught(NamedTuple):
    """What a probe says of the pairs it was cross-fitted on."""

    p_B: Floats
    """Probability that the first completion is preferred, by a probe that did not see the pair."""
    right: float
    """Share of pairs it tells as people did, ties of theirs left out."""
    strength: float
    """The inverse regularisation, of the least cross-fitted loss."""


def completion_difference(
    encoder: VoteEncoder, pair: PairQuestions, states_TD: torch.Tensor
) -> Floats:
    """Mean state of the first completion less that of the second, each as shown first. [D]

    A completion shown first is read after the conversation alone.
    """
    means = [
        states_TD[start : start + length].double().mean(0).numpy()
        for start, length in completion_spans(encoder, pair)
    ]
    return np.asarray(means[0] - means[1])


def completion_spans(
    encoder: VoteEncoder, pair: PairQuestions
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Start and length of each completion in a pair's tree, as shown first.

    Tokens with which both completions begin belong to neither, since they tell nothing apart.
    """
    (one, other), _ = encoder.encode(pair._replace(asked=pair.asked[:1]))
    first, second = (encoder.encoder.encode_text(text) for text in (pair.first, pair.second))
    alike = _shared(first, second)
    # The tree holds the whole first prompt, then what the second one does not share with it.
    return (
        (_shared(one, other), max(1, len(first) - alike)),
        (len(one), max(1, len(second) - alike)),
    )


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def cross_fit(x_BD: Floats, p_B: Floats, groups: Sequence[str]) -> Taught:
    """A probe's probabilities for the pairs it learns from, each fold by a probe of the others.

    The difference of the completions is its whole input and it has no constant, so that swapping
    them swaps what it says. Labels of 0.5 say neither, so they neither teach nor count.
    Shapes: B pairs, D numbers each. Cost: some seconds a thousand pairs.
    Raises: DataError where all labels are 0.5.
    """
    told_B = p_B != 0.5
    if not told_B.any():
        raise DataError("all labels of people are ties (0.5), so no probe can learn; drop it")
    scale_D = np.sqrt((x_BD**2).mean(0)) + 1e-9
    x_BD, y_B = x_BD / scale_D, (p_B > 0.5).astype(int)
    weight_B = np.abs(2 * p_B - 1) + 1e-12
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    folds = list(GroupKFold(min(FOLDS, len(set(groups)))).split(x_BD, y_B, numbers))
    found = [(strength, _by_fold(x_BD, y_B, weight_B, folds, strength)) for strength in STRENGTHS]
    strength, logit_B = min(found, key=lambda one: _loss(one[1][told_B], y_B[told_B]))
    right = float(((logit_B > 0) == (y_B == 1))[told_B].mean())
    return Taught(1 / (1 + np.exp(-logit_B)), right, strength)


def _by_fold(
    x_BD: Floats,
    y_B: NDArray[np.int64],
    weight_B: Floats,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    strength: float,
) -> Floats:
    logit_B = np.zeros(len(y_B))
    for seen, left in folds:
        both, ends = np.concatenate([x_BD[seen], -x_BD[seen]]), [y_B[seen], 1 - y_B[seen]]
        probe = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
        probe.fit(both, np.concatenate(ends), np.tile(weight_B[seen], 2))
        logit_B[left] = probe.decision_function(x_BD[left])
    return logit_B


def _loss(logit_B: Floats, y_B: NDArray[np.int64]) -> float:
    return float(np.logaddexp(0, np.where(y_B == 1, -logit_B, logit_B)).mean())


def taught_by(
    pairs: Sequence[PairQuestions], taught: Taught, share: float, spread: float | None = None
) -> list[PairQuestions]:
    """The pairs with labels of which a share is the probe's; contrasts keep theirs."""
    return labelled_by(pairs, np.log(taught.p_B) - np.log1p(-taught.p_B), share, spread)
