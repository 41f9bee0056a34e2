"""Judges' pair votes as a reward: log-odds within a prompt, together or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from judges.records import CompletionText, Item, Message
from training.online.ranking_reward import fit_rewards, read_line
from training.online.reward_settings import RewardSettings, open_rewards

SETTINGS: TypeAdapter[Any] = TypeAdapter(RewardSettings)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


@given(strengths=st.lists(st.floats(-3, 3), min_size=2, max_size=6))
def test_strengths_come_back_from_the_pairs_they_make(strengths: list[float]) -> None:
    s = np.array(strengths)
    found = fit_rewards(sigmoid(s[:, None] - s[None, :]), range(len(s)))
    assert list(found.values()) == pytest.approx(list(s - s.mean()), abs=1e-6)


def test_two_completions_differ_by_the_judges_log_odds() -> None:
    found = fit_rewards(np.array([[0.5, 0.8], [0.2, 0.5]]), [0, 1])
    assert sigmoid(found[0] - found[1]) == pytest.approx(0.8)


def test_pairs_that_were_not_judged_are_left_out_of_the_fit() -> None:
    s = np.array([1.0, 0.0, -1.0])
    p = sigmoid(s[:, None] - s[None, :])
    p[0, 2] = p[2, 0] = np.nan
    assert list(fit_rewards(p, [0, 1, 2]).values()) == pytest.approx([1.0, 0.0, -1.0])


def test_what_is_unranked_has_no_number() -> None:
    p = np.full((3, 3), np.nan)
    p[0, 2], p[2, 0] = 0.5, 0.5
    line = {
        "status": "scored", "reason": None, "p": p, "ranking": [0, 2],
        "unranked": {"1": "empty_completion"},
    }  # fmt: skip
    scores = read_line(line, 3)
    assert [score.value for score in scores] == [0.0, None, 0.0]
    assert scores[1].reason == "empty_completion"


def test_a_prompt_whose_judging_failed_is_away_as_a_whole() -> None:
    scores = read_line({"status": "error", "detail": "timeout"}, 4)
    assert all(score.retry and score.value is None for score in scores)


async def test_completions_are_ranked_within_their_prompt_whatever_their_order(
    tmp_path: Path,
) -> None:
    settings = {"kind": "ranking", "constitution": "plain-speech@1", "judges": ["fake"]}
    reward = await open_rewards([SETTINGS.validate_python(settings)], tmp_path)
    first, second = (
        Item(id=name, prompt=(Message(role="user", content=f"{name}?"),), completions=())
        for name in ("p1", "p2")
    )
    texts = ("It shows north, which helps people on their way.", "North.", "Tea is a drink.")
    a, b, c = (CompletionText(text=text, finish_reason="stop") for text in texts)
    scores = await reward([first, second, first, second], [a, c, b, a])
    values = [score.value for score in scores]
    assert values[0] is not None and values[0] == pytest.approx(-(values[2] or 0.0))
    again = await reward([first, first, second, second], [a, b, c, a])
    assert [again[0].value, again[2].value] == [values[0], values[1]]
    alone = await reward([first], [a])
    assert (alone[0].value, alone[0].reason) == (None, "one_completion")
    await reward.close()
