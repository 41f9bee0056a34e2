"""Labelled prompts out of ranking lines and preference rows: every pair kept, each text once."""

import math
from typing import Any

import numpy as np
import pytest

from judges.errors import DataError
from training.rewards.accuracy import accuracy, length_nulls, outcomes
from training.rewards.examples import (
    RankedPrompt,
    from_pairs,
    from_rankings,
    keep_completions,
    relabel,
)

HALF = [[0.5, 0.9, None], [0.1, 0.5, 0.3], [None, 0.7, 0.5]]


def line(**changes: Any) -> dict[str, Any]:
    return {
        "status": "scored",
        "prompt": [{"role": "user", "content": "What is tea?"}],
        "completions": ["a", "b", "c"],
        "p": HALF,
        "principles": {
            "kind": {"p": [[0.5, 0.8, 0.8], [0.2, 0.5, 0.5], [0.2, 0.5, 0.5]], "applies": 0.25},
            "brief": {"p": [[0.5, None, None], [None, 0.5, None], [None, None, 0.5]]},
        },
        **changes,
    }


def turns(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_ranking_lines_keep_all_pairs_and_know_which_have_no_label() -> None:
    (one,) = from_rankings([("r:1", line())])
    assert one.p_HNN.shape == (1, 3, 3)
    assert one.p_HNN[0, 0, 1] == 0.9
    assert math.isnan(one.p_HNN[0, 0, 2])
    assert (one.pairs, one.place) == (2, "r:1")


def test_principles_are_heads_with_their_own_labels_and_scopes() -> None:
    (one,) = from_rankings([("r:1", line())], ["brief", "kind"])
    assert one.p_HNN.shape == (2, 3, 3)
    assert math.isnan(one.p_HNN[0, 0, 1])
    assert one.p_HNN[1, 0, 1] == 0.8
    assert math.isnan(one.applies_H[0])
    assert one.applies_H[1] == 0.25
    assert one.pairs == 3


def test_lines_without_a_label_are_left_out() -> None:
    empty = [[0.5, None], [None, 0.5]]
    lines = [("r:1", line(status="unscored")), ("r:2", line(completions=["a", "b"], p=empty))]
    assert from_rankings(lines) == []


@pytest.mark.parametrize(
    ("changes", "principles", "message"),
    [
        pytest.param({"p": [[0.5, 1.2], [0.1, 0.5]], "completions": ["a", "b"]}, None,
                     "r:1: p is 1.2; use probabilities", id="no probability"),
        pytest.param({"completions": ["a", "b"]}, None, "r:1: .* no table of 2 by 2", id="shape"),
        pytest.param({}, ["honest"], "r:1: no labels of principle 'honest'", id="no principle"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_named(
    changes: dict[str, Any], principles: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        from_rankings([("r:1", line(**changes))], principles)


def test_rows_of_one_prompt_come_together_and_each_text_stands_once() -> None:
    prompt, other = [{"role": "user", "content": "x"}], [{"role": "user", "content": "y"}]
    rows = [
        ("p:1", prompt, turns("a"), turns("b"), 0.9),
        ("p:2", other, turns("a"), turns("b"), 0.6),
        ("p:3", prompt, turns("c"), turns("a"), 0.7),
        ("p:4", prompt, turns("b"), turns("a"), 0.3),
    ]
    one, two = from_pairs(rows)
    assert [m[0].content for m in one.completions] == ["a", "b", "c"]
    assert one.p_HNN[0, 0, 1] == pytest.approx((0.9 + 0.7) / 2)
    assert one.p_HNN[0, 2, 0] == pytest.approx(0.7)
    assert one.p_HNN[0, 0, 2] == pytest.approx(0.3)
    assert (one.pairs, two.pairs, two.place) == (2, 1, "p:2")


def test_labels_soft_hard_and_clamped() -> None:
    p = np.array([[[0.5, 0.9, 0.55], [0.1, 0.5, np.nan], [0.45, np.nan, 0.5]]])
    assert relabel(p, "soft") is p
    hard = relabel(p, "hard")
    assert hard[0, 0, 1:].tolist() == [1, 1]
    assert hard[0, 1, 0] == 0
    assert math.isnan(hard[0, 0, 0])
    assert math.isnan(hard[0, 1, 2])
    clamped = relabel(p, "clamped", 0.6)
    assert clamped[0, 0].tolist() == [0.5, 0.6, 0.55]
    assert clamped[0, 1, 0] == pytest.approx(0.4)


def test_fewer_completions_keep_their_own_labels() -> None:
    (one,) = from_rankings([("r:1", line())])
    kept = keep_completions(one, [0, 2])
    assert [m[0].content for m in kept.completions] == ["a", "c"]
    assert (kept.p_HNN.shape, kept.pairs) == ((1, 2, 2), 0)


def test_accuracy_counts_pairs_with_a_better_side_and_halves_ties() -> None:
    p = np.array([[0.5, 0.9, 0.52], [0.1, 0.5, 0.2], [0.48, 0.8, 0.5]])
    assert outcomes(np.array([2.0, 1.0, 3.0]), p) == [1.0, 1.0]
    assert outcomes(np.array([1.0, 1.0, 0.0]), p) == [0.5, 0.0]


def test_accuracy_has_an_interval_over_prompts() -> None:
    (one,) = from_rankings([("r:1", line())])
    prompts: list[RankedPrompt] = [one] * 50
    found = accuracy([np.array([3.0, 1.0, 2.0])] * 40 + [np.array([1.0, 3, 2])] * 10, prompts)
    assert found is not None
    assert found.value == pytest.approx(0.8)
    assert (found.n, found.low < 0.75, found.high > 0.84) == (100, True, True)
    no_labels = from_rankings([("r:1", line())], ["kind", "brief"])
    assert accuracy([np.zeros((3, 2))], no_labels, head=1) is None


def test_beside_accuracy_stands_what_length_alone_gets_right() -> None:
    (one,) = from_rankings([("r:1", line())])  # a above b, c above b
    prompts = [one] * 20
    lengths = [np.array([9.0, 5.0, 1.0])] * 15 + [np.array([9.0, 5.0, 5.0])] * 5
    rewards = [np.array([3.0, 1.0, 2.0])] * 10 + [np.array([3.0, 1.0, 0.0])] * 10
    found = length_nulls(rewards, lengths, prompts)
    assert found is not None
    assert (found.longer.value, found.shorter.value) == (0.5625, 0.4375)
    assert found.longer.n == found.above.n == 40
    assert found.above.value == pytest.approx(0.75 - 0.5625)
    turned = length_nulls(rewards, [-one for one in lengths], prompts)
    assert turned is not None
    assert (turned.shorter, turned.above) == (found.longer, found.above)
