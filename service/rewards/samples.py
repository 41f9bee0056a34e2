"""What a framework wants a reward for, and the reward: a number, or the reason there is none."""

from typing import Annotated

from pydantic import Field

from judges.records import Message, Record


class Sample(Record):
    """One completion of a policy in training."""

    prompt: tuple[Message, ...]
    """The conversation up to the completion."""
    completion: str
    """What the policy wrote, without the token that ended it."""
    answer: str | None = None
    """The right answer, for rules that compare with one."""
    identity: str | None = None
    """Names this sample within its group, where the framework does: a repeated call is known."""


class Reward(Record):
    """What a sample is worth. Failure is a record, never a number."""

    value: Annotated[float, Field(allow_inf_nan=False)] | None
    """Higher is better; None where there is no reward."""
    reason: str | None = None
    """Why there is none: what a judged item can end in, or `cohort_incomplete`."""
    detail: str = ""
    """What was seen, for people."""
    principles: dict[str, float] = Field(default_factory=dict)
    """What each principle alone says of it, 0 to 1, where it says anything."""
    order_gap: Annotated[float, Field(ge=0)] | None = None
    """How far the two orders of its pairs disagree, in logits; only where pairs are judged."""
    constitution: str = ""
    """Digest of the constitution behind it."""


def no_reward(reason: str, detail: str = "") -> Reward:
    """The record of a sample without a reward."""
    return Reward(value=None, reason=reason, detail=detail)
