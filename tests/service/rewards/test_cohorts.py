"""Groups come together whole or in time, every caller gets an answer, and nothing grows."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from judges.errors import ModelError
from judges.records import Message
from service.rewards.cohorts import CohortLimits, CohortRules, Cohorts, CohortsFull
from service.rewards.samples import Reward, Sample


def sample(text: str, identity: str | None = None) -> Sample:
    prompt = (Message(role="user", content="What is tea?"),)
    return Sample(prompt=prompt, completion=text, identity=identity)


class Judge:
    """Gives each sample the share of its group that is shorter; remembers the groups."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.groups: list[list[str]] = []
        self.known: list[int] = []
        self.seconds = seconds

    async def __call__(self, samples: Sequence[Sample], known: int) -> list[Reward]:
        await asyncio.sleep(self.seconds)
        texts = [one.completion for one in samples]
        self.known.append(known)
        self.groups.append(texts)
        return [Reward(value=sum(len(o) < len(t) for o in texts) / len(texts)) for t in texts]


async def test_calls_of_a_prompt_are_judged_as_one_group() -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules(size=4)
    calls = [cohorts.reward("p", sample("x" * k), rules, judge) for k in range(4)]
    rewards = await asyncio.gather(*calls)
    assert [reward.value for reward in rewards] == [0, 0.25, 0.5, 0.75]
    assert judge.groups == [["", "x", "xx", "xxx"]]
    assert len(cohorts) == cohorts.waiting == 0


async def test_two_thousand_interleaved_calls_land_in_their_own_groups() -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules(size=8)
    calls = [(p, f"{p}:" + "x" * k) for p in range(250) for k in range(8)]
    random.Random(0).shuffle(calls)
    rewards = await asyncio.gather(
        *(cohorts.reward(p, sample(text), rules, judge) for p, text in calls)
    )
    assert sorted({len(group) for group in judge.groups}) == [8]
    assert all(len({text.partition(":")[0] for text in group}) == 1 for group in judge.groups)
    expected = [text.count("x") / 8 for _, text in calls]
    assert [reward.value for reward in rewards] == expected
    assert len(cohorts) == cohorts.waiting == 0


@pytest.mark.parametrize(("partial", "value"), [("rank", 0.5), ("unscored", None)])
async def test_a_group_whose_time_is_up_follows_its_policy(
    partial: str, value: float | None
) -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules.model_validate({"size": 8, "timeout_s": 0.02, "partial": partial})
    calls = [cohorts.reward("p", sample("x" * k), rules, judge) for k in range(2)]
    rewards = await asyncio.gather(*calls)
    assert rewards[1].value == value
    if value is None:
        assert rewards[1].reason == "cohort_incomplete"
        assert "2 of 8" in rewards[1].detail
    assert cohorts.waiting == 0


async def test_a_lone_sample_is_no_group() -> None:
    reward = await Cohorts().reward("p", sample("x"), CohortRules(timeout_s=0.02), Judge())
    assert (reward.value, reward.reason) == (None, "cohort_incomplete")


async def test_who_comes_late_is_ranked_among_those_judged() -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules(size=3, timeout_s=0.02)
    calls = [cohorts.reward("p", sample("x" * k), rules, judge) for k in range(2)]
    await asyncio.gather(*calls)
    late = await cohorts.reward("p", sample("xxx"), rules, judge)
    assert judge.groups[-1] == ["", "x", "xxx"]
    assert judge.known == [0, 2]
    assert late.value == pytest.approx(2 / 3)
    assert len(cohorts) == 0, "the group is whole now"


async def test_a_repeated_call_is_the_same_sample_before_and_after_the_answer() -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules(size=2)
    first, again = (
        asyncio.create_task(cohorts.reward("p", sample("x", "r0"), rules, judge)) for _ in "ab"
    )
    await asyncio.sleep(0)
    assert cohorts.waiting == 1
    other = await cohorts.reward("p", sample("xx", "r1"), rules, judge)
    assert await first == await again
    assert await cohorts.reward("p", sample("xx", "r1"), rules, judge) == other
    assert len(judge.groups) == 1
    calls = [cohorts.reward("p", sample(t, f"r{k}"), rules, judge) for k, t in enumerate("ab")]
    await asyncio.gather(*calls)
    assert judge.groups[-1] == ["a", "b"], "a run begun anew uses its names again"


async def test_a_caller_who_hangs_up_leaves_its_group() -> None:
    cohorts, judge = Cohorts(), Judge()
    rules = CohortRules(size=2)
    gone = asyncio.create_task(cohorts.reward("p", sample("gone"), rules, judge))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert len(cohorts) == cohorts.waiting == 0
    calls = [cohorts.reward("p", sample(text), rules, judge) for text in ("a", "bb")]
    await asyncio.gather(*calls)
    assert judge.groups == [["a", "bb"]]


async def test_what_judging_raises_reaches_every_caller() -> None:
    async def fail(samples: Sequence[Sample], known: int) -> list[Reward]:
        raise ModelError(f"no engine for {len(samples)} beyond {known}")

    cohorts = Cohorts()
    calls = [cohorts.reward("p", sample(t), CohortRules(size=2), fail) for t in "ab"]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(result) for result in results] == ["no engine for 2 beyond 0"] * 2
    assert len(cohorts) == cohorts.waiting == 0


async def test_one_more_than_may_wait_is_refused() -> None:
    cohorts, judge = Cohorts(CohortLimits(waiting=2)), Judge()
    rules = CohortRules(size=3, timeout_s=0.05)
    waiting = [asyncio.create_task(cohorts.reward(k, sample("x"), rules, judge)) for k in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(CohortsFull, match="2 samples wait"):
        await cohorts.reward("c", sample("x"), rules, judge)
    assert len(cohorts) == 2
    await asyncio.gather(*waiting)
    assert cohorts.waiting == 0


async def test_groups_and_remembered_rewards_are_bounded() -> None:
    limits = CohortLimits(groups=3, remembered=4)
    cohorts, judge = Cohorts(limits), Judge()
    lone = CohortRules(size=3, timeout_s=60)
    open_calls = [
        asyncio.create_task(cohorts.reward(k, sample("x"), lone, judge)) for k in range(5)
    ]
    await asyncio.sleep(0.01)
    assert len(cohorts) == 3
    assert [task.done() for task in open_calls] == [True, True, False, False, False]
    assert open_calls[0].result().detail == "too many groups are open"
    pair = CohortRules(size=2)
    for k in range(5):
        named = [cohorts.reward(("n", k), sample(t, t), pair, judge) for t in "ab"]
        await asyncio.gather(*named)
    assert len(cohorts._remembered) == 4
    await cohorts.close()
    rewards = await asyncio.gather(*open_calls)
    assert rewards[4].detail == "the service is stopping"
    assert cohorts.waiting == 0


async def test_the_next_group_of_a_prompt_begins_while_one_is_judged() -> None:
    cohorts, judge = Cohorts(), Judge(seconds=0.02)
    rules = CohortRules(size=2)
    calls = [cohorts.reward("p", sample(t), rules, judge) for t in ("a", "b", "c", "d")]
    await asyncio.gather(*calls)
    assert sorted(judge.groups) == [["a", "b"], ["c", "d"]]
