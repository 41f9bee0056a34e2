"""Our rewards as TRL's functions: the whole or its parts, None together, and never made up."""

from typing import Any

import pytest

from judges.errors import VerdictError
from judges.records import Item, Message
from tests.training.ppo.tiny_run import half_unscored, nothing_but_nan
from training.online.background import Background
from training.online.reward import FunctionReward, Score
from training.online.trl_reward import TrlReward, leave_out_incomplete
from training.online.waiting import Patience, RewardAway

ITEMS = [
    Item(id=f"p{n}", prompt=(Message(role="user", content=f"{n}?"),), completions=())
    for n in range(2)
]


class Parts:
    """A reward of parts a and b."""

    name = "parts"

    def __init__(self, *scores: tuple[float | None, float | None, float | None]) -> None:
        self.calls = 0
        self._scores = [Score(value=v, parts={"a": a, "b": b}) for v, a, b in scores]

    async def __call__(self, _prompts: Any, _completions: Any) -> list[Score]:
        self.calls += 1
        return self._scores

    async def close(self) -> None:
        pass


def make_reward(reward: Any, background: Background, *parts: str) -> TrlReward:
    return TrlReward(reward, ITEMS, (2,), Patience(), background, print, parts)


def ask(function: Any, rows: tuple[int, ...] = (0, 0, 1)) -> Any:
    completions = [[{"role": "assistant", "content": text}] for text in ("eee", "xe", "x")]
    return function(
        prompts=None, completions=completions, completion_ids=[[5, 2], [5], [6]], row=rows
    )


def test_a_function_has_the_whole_reward_and_none_for_what_is_unscored() -> None:
    with Background() as background:
        [whole] = make_reward(FunctionReward("e", half_unscored), background).functions()
        assert ask(whole) == [1.0, None, 0.0]
        assert whole.__name__ == "reward"


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        pytest.param((None, 1.0, 2.0), ([1, None, 1], [2, None, 2]), id="no value"),
        pytest.param((3.0, 1.0, None), ([1, None, 1], [2, None, 2]), id="a value that lacks b"),
    ],
)
def test_parts_are_asked_for_once_and_are_none_together(lacking: Any, told: Any) -> None:
    whole = (3.0, 1.0, 2.0)
    reward = Parts(whole, lacking, whole)
    with Background() as background:
        first, second = make_reward(reward, background, "a", "b").functions()
        assert (ask(first, (0, 0, 0)), ask(second, (0, 0, 0))) == told
    assert reward.calls == 1


def test_a_part_that_no_completion_of_the_prompt_has_is_not_missing() -> None:
    about, beside = Score(value=3.0, parts={"a": 1.0, "b": 2.0}), Score(value=1.0, parts={"a": 1.0})
    scores = [about, about, beside, beside]
    assert leave_out_incomplete(scores, [0, 0, 1, 1], ["a", "b"]) == scores
    [*_, left_out] = leave_out_incomplete(scores, [0, 0, 0, 0], ["a", "b"])
    assert (left_out.value, left_out.detail) == (None, "its part 'b' is missing")


def test_a_reward_without_the_parts_asked_for_is_away() -> None:
    whole = (3.0, 1.0, 2.0)
    with Background() as background:
        asked = make_reward(Parts(whole, whole, whole), background, "rules/a", "rules/b")
        with pytest.raises(RewardAway, match=r"3 of 3 .*its part 'rules/a' is missing"):
            ask(asked.functions()[0])


def test_a_reward_that_is_no_number_never_reaches_trl() -> None:
    with Background() as background:
        [whole] = make_reward(FunctionReward("broken", nothing_but_nan), background).functions()
        with pytest.raises(VerdictError, match="'broken' is nan for 3 of 3 completions"):
            ask(whole)
