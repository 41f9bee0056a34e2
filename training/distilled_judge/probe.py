"""A linear probe of the frozen lower layers as a teacher: what one person said of a pair is noisy.

A small adapter learns noisy labels by heart. A strongly regularised linear read-out of the mean and
the last state of both completions does not, and says of each pair how sure one can be. Each pair's
probability comes from a probe that saw neither it nor a pair that opens alike (cross-fitting), so
that it holds nothing of the pair's own label; that of a pair nobody labelled, from one of all.
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
    """What a probe says of the pairs it was cross-fitted on, and of those nobody labelled."""

    p_B: Floats
    """Probability that the first completion is preferred, by a probe that did not see the pair."""
    right: float
    """Share of labelled pairs it tells as people did, ties of theirs left out."""
    strength: float
    """The inverse regularisation, of the least cross-fitted loss."""


def completion_difference(
    encoder: VoteEncoder, pair: PairQuestions, states_TD: torch.Tensor
) -> Floats:
    """Mean and last state of one completion less those of the other, each as shown first. [2D]

    A completion shown first is read after the conversation alone.
    """
    first_2D, second_2D = (
        torch.cat([span_TD.mean(0), span_TD[-1]])
        for span_TD in (
            states_TD[start : start + length].double()
            for start, length in completion_spans(encoder, pair)
        )
    )
    return np.asarray((first_2D - second_2D).numpy())


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


def cross_fit(x_BD: Floats, p_L: Floats, groups: Sequence[str]) -> Taught:
    """A probe's probabilities for the pairs it learns from, each fold by a probe of the others.

    Pairs after those with a label get theirs by a probe of all that have one.

    The difference of the completions is its whole input and it has no constant, so that swapping
    them swaps what it says. Labels of 0.5 say neither, so they neither teach nor count.
    Shapes: B pairs, D numbers each, the first L of them labelled. Cost: some seconds a thousand
    pairs. Raises: DataError where all labels are 0.5.
    """
    told_L = p_L != 0.5
    if not told_L.any():
        raise DataError("all labels of people are ties (0.5), so no probe can learn; drop it")
    x_LD = x_BD[: len(p_L)]
    x_BD = x_BD / (np.sqrt((x_LD**2).mean(0)) + 1e-9)
    x_LD, y_L = x_BD[: len(p_L)], (p_L > 0.5).astype(int)
    weight_L = np.abs(2 * p_L - 1) + 1e-12
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    folds = list(GroupKFold(min(FOLDS, len(set(groups)))).split(x_LD, y_L, numbers))
    found = [(strength, _by_fold(x_LD, y_L, weight_L, folds, strength)) for strength in STRENGTHS]
    strength, logit_L = min(found, key=lambda one: _loss(one[1][told_L], y_L[told_L]))
    right = float(((logit_L > 0) == (y_L == 1))[told_L].mean())
    logit_B = logit_L
    if len(x_BD) > len(p_L):
        of_all = _fit(x_LD, y_L, weight_L, strength)
        logit_B = np.concatenate([logit_L, of_all.decision_function(x_BD[len(p_L) :])])
    return Taught(1 / (1 + np.exp(-logit_B)), right, strength)


def _by_fold(
    x_LD: Floats,
    y_L: NDArray[np.int64],
    weight_L: Floats,
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    strength: float,
) -> Floats:
    logit_L = np.zeros(len(y_L))
    for seen, left in folds:
        probe = _fit(x_LD[seen], y_L[seen], weight_L[seen], strength)
        logit_L[left] = probe.decision_function(x_LD[left])
    return logit_L


def _fit(
    x_LD: Floats, y_L: NDArray[np.int64], weight_L: Floats, strength: float
) -> LogisticRegression:
    both, ends = np.concatenate([x_LD, -x_LD]), np.concatenate([y_L, 1 - y_L])
    probe = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
    return probe.fit(both, ends, np.tile(weight_L, 2))


def _loss(logit_B: Floats, y_B: NDArray[np.int64]) -> float:
    return float(np.logaddexp(0, np.where(y_B == 1, -logit_B, logit_B)).mean())


def taught_by(
    pairs: Sequence[PairQuestions], taught: Taught, share: float, spread: float | None = None
) -> list[PairQuestions]:
    """The pairs with labels of which a share is the probe's; contrasts keep theirs."""
    return labelled_by(pairs, np.log(taught.p_B) - np.log1p(-taught.p_B), share, spread)
