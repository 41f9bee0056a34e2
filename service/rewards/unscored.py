"""What a framework is told of a sample without a reward. Never a number made up for it.

| policy | the framework gets |
|---|---|
| `fail` | 503 for the whole call: its client repeats it, then does without or stops |
| `null` | null in the sample's place |
| `mean` | the mean reward of the same call or group, so that it has no advantage; else of the run |
| `mark` | the framework's own mark of a failed sample |
"""

from collections.abc import Sequence
from typing import Literal

from judges.errors import VerdictError
from service.rewards.samples import Reward

Unscored = Literal["fail", "null", "mean", "mark"]


class UnscoredSample(VerdictError):
    """A sample without a reward, under the policy `fail`."""


def reward_numbers(
    rewards: Sequence[Reward], policy: Unscored, run_mean: float | None = None
) -> list[float | None]:
    """The numbers to send, under a policy; None stays where the policy is `null` or `mark`.

    Raises: UnscoredSample under `fail`, and under `mean` where nothing at all has been scored.
    """
    values = [reward.value for reward in rewards]
    if None not in values or policy in ("null", "mark"):
        return values
    known = [value for value in values if value is not None]
    if policy == "mean" and (known or run_mean is not None):
        mean = sum(known) / len(known) if known else run_mean
        return [mean if value is None else value for value in values]
    raise UnscoredSample(_what_failed(rewards))


def _what_failed(rewards: Sequence[Reward]) -> str:
    failed = [(k, reward) for k, reward in enumerate(rewards) if reward.value is None]
    k, reward = failed[0]
    detail = f" ({reward.detail})" if reward.detail else ""
    return (
        f"{len(failed)} of {len(rewards)} samples have no reward; sample {k}: {reward.reason}"
        f"{detail}; a reward is never made up: see ?unscored= for other policies"
    )
