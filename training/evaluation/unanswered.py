"""Answers that a policy did not give: a win rate is without them, so they are counted beside it."""

from judges.records import Record
from training.evaluation.answers import Drawn


class Unanswered(Record):
    """Answers asked for and not had: they count neither for nor against a policy."""

    asked: int
    """Answers asked of each policy: prompts times samples."""
    policy: int
    """Of these, not given by the policy."""
    against: int
    """Of these, not given by what it is compared with."""
    pairs: int
    """Pairs of the two that could not be compared."""
    kl: int
    """Completions that the KL divergence is without, of prompts times `kl_samples`."""


def count_unanswered(policy: Drawn, against: Drawn, samples: int, kl: int) -> Unanswered:
    """How much of what was asked of two policies is missing."""
    asked = samples * len(policy)
    given = [(len(ours), len(theirs)) for ours, theirs in zip(policy, against, strict=True)]
    return Unanswered(
        asked=asked,
        policy=asked - sum(ours for ours, _ in given),
        against=asked - sum(theirs for _, theirs in given),
        pairs=asked - sum(map(min, given)),
        kl=kl,
    )
