"""A whole group in one question: which of these follows the principle best?

The labels are shuffled, differently for each sample, and log-probabilities averaged over the
shuffles, so that a taste for a letter becomes noise that more samples cancel. The gap of two
completions is the gap of their mean log-probabilities, as under Luce's choice axiom.
Source: Luce 1959; Plackett 1975.
"""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from judges.canonical import digest
from judges.records import Question, Vote

Floats = npt.NDArray[np.float64]


def shuffled(completions: Sequence[str], conversation: str, sample: int) -> tuple[str, ...]:
    """The order in which a sample shows a group: follows from what is judged, and the sample.

    Samples come in pairs of an order and its reverse, so that two of them already balance places.
    """
    order = sorted(set(completions))
    random.Random(digest([conversation, order, sample // 2])).shuffle(order)
    return tuple(reversed(order)) if sample % 2 else tuple(order)


def list_questions(
    setting: str, principle: str, conversation: str, completions: Sequence[str], samples: int
) -> list[Question]:
    """The questions about a group, one a sample; equal completions are shown once."""
    if len(set(completions)) < 2:
        return []
    return [
        Question(
            setting=setting,
            principle=principle,
            conversation=conversation,
            completions=shuffled(completions, conversation, sample),
            sample=sample,
        )
        for sample in range(samples)
    ]


def list_logits(
    completions: Sequence[str], asked: Sequence[Question], votes: Mapping[Question, Vote]
) -> Floats:
    """The logit of each completion over each other; NaN where a sample's vote is missing. (N, N)"""
    n = len(completions)
    found = [votes.get(question) for question in asked]
    if not found or any(vote is None or vote.status != "scored" for vote in found):
        logit = np.full((n, n), np.nan)
    else:
        strength = dict.fromkeys(completions, 0.0)
        for vote in found:
            assert vote is not None
            for text, logprob in zip(vote.question.completions, vote.logprobs, strict=True):
                strength[text] += max(logprob, -1e3) / len(found)
        row = np.array([strength[text] for text in completions])
        logit = row[:, None] - row[None, :]
    same = np.array([[a == b for b in completions] for a in completions])
    return np.where(same, 0.0, logit)
