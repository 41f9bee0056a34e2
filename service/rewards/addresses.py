"""What an adapter's address may say: frameworks can be told an address and little else."""

from typing import Annotated

from fastapi import Depends, Query

from judges.records import Record
from service.errors import ApiError
from service.judging.requests import Deadline, Name, Reference
from service.rewards.cohorts import CohortRules, Partial
from service.rewards.from_lines import Ask
from service.rewards.reward_desk import RewardsAsked
from service.rewards.samples import Reward
from service.rewards.unscored import Unscored, UnscoredSample, reward_numbers


class Address(Record):
    """The query of an adapter's address, read."""

    asked: RewardsAsked
    """How rewards are made."""
    unscored: Unscored | None
    """What the framework is told of a sample without a reward; none: the adapter's usual."""
    separator: str
    """What stands between prompt and completion, where no template tells."""
    ends: tuple[str, ...]
    """Further tokens that end a completion."""

    def numbers(
        self,
        rewards: list[Reward],
        usual: Unscored,
        allowed: tuple[Unscored, ...],
        run_mean: float | None,
    ) -> list[float | None]:
        """The numbers to send. Raises: ApiError 503 under `fail`, 422 for a policy not allowed."""
        policy = self.unscored or usual
        if policy not in allowed:
            raise ApiError(
                422, "invalid_request", f"unscored is {policy!r}, which this client cannot take",
                f"use one of {', '.join(allowed)}",
            )  # fmt: skip
        try:
            return reward_numbers(rewards, policy, run_mean)
        except UnscoredSample as error:
            raise ApiError(
                503, "unscored", str(error), "add ?unscored= for another policy", retry_after_s=1.0
            ) from None

    def scored(
        self, rewards: list[Reward], allowed: tuple[Unscored, ...], run_mean: float | None
    ) -> list[float]:
        """As `numbers`, for a client that takes numbers only; its usual policy is `fail`."""
        numbers = self.numbers(rewards, "fail", allowed, run_mean)
        return [number for number in numbers if number is not None]


async def read_address(
    constitution: Annotated[Reference, Query(description="By which constitution")],
    judge: Annotated[
        list[Name] | None, Query(description="By which judge; several make a panel")
    ] = None,
    run: Annotated[
        str, Query(max_length=200, description="The training run, to watch it for reward hacking")
    ] = "",
    ask: Annotated[
        Ask, Query(description="P(yes) that principles are followed, or their mean rating")
    ] = "yes-no",
    group: Annotated[
        int, Query(ge=1, le=64, description="Samples of a prompt ranked as a group; 1: none")
    ] = 1,
    group_timeout: Annotated[
        float, Query(gt=0, le=3600, description="Seconds that a group waits for its samples")
    ] = 30.0,
    partial: Annotated[
        Partial, Query(description="A group whose time is up: ranked as it is, or unscored")
    ] = "rank",
    step: Annotated[str, Query(max_length=100, description="Sets groups of one prompt apart")] = "",
    unscored: Annotated[
        Unscored | None, Query(description="What is told of a sample without a reward")
    ] = None,
    separator: Annotated[
        str, Query(max_length=200, description="What stands between prompt and completion")
    ] = "",
    eos: Annotated[
        list[str] | None, Query(description="More tokens to strip from a completion's end")
    ] = None,
    deadline_s: Annotated[Deadline, Query(description="Seconds for judging")] = 120.0,
) -> Address:
    """The address of an adapter."""
    cohort = (
        CohortRules(size=group, timeout_s=group_timeout, partial=partial) if group > 1 else None
    )
    return Address(
        asked=RewardsAsked(
            constitution=constitution, judge=tuple(judge or ()), ask=ask, cohort=cohort,
            run=run, step=step, deadline_s=deadline_s,
        ),
        unscored=unscored,
        separator=separator,
        ends=tuple(eos or ()),
    )  # fmt: skip


AtAddress = Annotated[Address, Depends(read_address)]
