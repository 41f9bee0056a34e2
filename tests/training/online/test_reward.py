"""Rewards and waiting for them: sums, faults, and teammates that are down or slow."""

import math
from collections.abc import Sequence

import pytest

from judges.errors import ModelError, VerdictError
from judges.records import CompletionText, Item, Message
from training.online.reward import (
    FunctionReward,
    Score,
    WeightedSum,
    checked_scores,
    part_means,
)
from training.online.waiting import Patience, RewardAway, patient_scores

QUICK = Patience(longest_s=0.2, first_wait_s=0.01, most_wait_s=0.02, call_s=0.05)


def make(count: int) -> tuple[list[Item], list[CompletionText]]:
    prompts = [
        Item(id=f"p{i}", prompt=(Message(role="user", content=f"{i}?"),), completions=())
        for i in range(count)
    ]
    return prompts, [CompletionText(text="x" * i) for i in range(count)]


def lengths(_prompts: Sequence[Item], completions: Sequence[CompletionText]) -> list[float | None]:
    return [float(len(completion.text)) or None for completion in completions]


class Flaky:
    """A reward that fails some calls first, then scores lengths."""

    name = "flaky"

    def __init__(self, *failures: Exception | list[int]) -> None:
        self.failures = list(failures)
        self.asked: list[list[str]] = []

    async def __call__(
        self, prompts: Sequence[Item], completions: Sequence[CompletionText]
    ) -> list[Score]:
        self.asked.append([prompt.id for prompt in prompts])
        failure = self.failures.pop(0) if self.failures else []
        if isinstance(failure, Exception):
            raise failure
        away = Score(value=None, reason="engine_error", detail="down", retry=True)
        return [
            away if i in failure else Score(value=float(len(c.text)))
            for i, c in enumerate(completions)
        ]

    async def close(self) -> None:
        pass


async def test_a_function_is_a_reward_and_its_none_is_unscored_not_zero() -> None:
    scores = await FunctionReward("length", lengths)(*make(3))
    assert [score.value for score in scores] == [None, 1.0, 2.0]
    assert scores[0].reason == "missing_vote"


async def test_a_sum_weighs_its_rewards_names_its_parts_and_lacks_what_one_of_them_lacks() -> None:
    async def one(
        prompts: Sequence[Item], _completions: Sequence[CompletionText]
    ) -> list[float | None]:
        return [1.0] * len(prompts)

    total = WeightedSum([(FunctionReward("length", lengths), 0.5), (FunctionReward("one", one), 2)])
    scores = await total(*make(3))
    assert [score.value for score in scores] == [None, 2.5, 3.0]
    assert scores[2].parts == {"length": 2.0, "one": 1.0}
    assert part_means(scores) == {"length": 1.5, "one": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reward_that_is_no_number_is_an_error_that_names_the_prompts(value: float) -> None:
    prompts, _ = make(3)
    scores = [Score(value=1.0), Score(value=value), Score(value=None)]
    with pytest.raises(VerdictError, match=rf"'r' is {value} for 1 of 3 completions · prompts p1"):
        checked_scores(scores, prompts, "r")


def test_too_few_scores_are_an_error_not_a_shift() -> None:
    with pytest.raises(VerdictError, match="gave 1 scores for 3 completions"):
        checked_scores([Score(value=1.0)], make(3)[0], "r")


async def test_a_reward_that_is_down_is_waited_for_and_asked_only_what_it_owes() -> None:
    reward = Flaky(ModelError("refused"), [0, 2], OSError("reset"))
    said: list[str] = []
    scores = await patient_scores(reward, *make(3), QUICK, said.append)
    assert [score.value for score in scores] == [0.0, 1.0, 2.0]
    assert reward.asked == [["p0", "p1", "p2"], ["p0", "p1", "p2"], ["p0", "p2"], ["p0", "p2"]]
    assert "asked again in" in said[0] and "refused" in said[0]


async def test_a_reward_that_stays_down_stops_the_step_with_what_to_do() -> None:
    reward = Flaky(*[ModelError("connection refused")] * 1000)
    with pytest.raises(RewardAway, match=r"3 of 3 completions have no score \(engine_error 3\): "
                       r"connection refused · .*--resume"):  # fmt: skip
        await patient_scores(reward, *make(3), QUICK, lambda _: None)
    assert len(reward.asked) > 2


async def test_a_reward_that_is_too_slow_counts_as_away() -> None:
    import asyncio

    async def slow(
        prompts: Sequence[Item], _completions: Sequence[CompletionText]
    ) -> list[float | None]:
        await asyncio.sleep(5)
        return [1.0] * len(prompts)

    with pytest.raises(RewardAway, match="no answer within 0 s"):
        await patient_scores(FunctionReward("slow", slow), *make(2), QUICK, lambda _: None)


async def test_what_can_never_be_scored_is_left_out_at_once_and_counted_as_unscored() -> None:
    scores = await patient_scores(
        FunctionReward("length", lengths), *make(4), QUICK, lambda _: None
    )
    assert [score.value for score in scores] == [None, 1.0, 2.0, 3.0]


async def test_a_few_that_stay_away_leave_the_batch_and_too_many_stop_it() -> None:
    scores = await patient_scores(Flaky(*[[0]] * 1000), *make(4), QUICK, lambda _: None)
    assert [score.value for score in scores] == [None, 1.0, 2.0, 3.0]
    with pytest.raises(RewardAway, match="1 of 1 completions"):
        await patient_scores(Flaky(*[[0]] * 1000), *make(1), QUICK, lambda _: None)
