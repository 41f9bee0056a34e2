"""Rows of a card: laws on made-up logits, and published figures on recorded verdicts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.calibration.recorded import read_recorded, vote_logits
from judges.cards.breakdown import Truth, breakdown, flips, null_correctness, sides
from judges.cards.labelled import read_labelled
from judges.cards.voting import View

LOGITS = st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=1, max_size=12)


def truth(labels: list[float], lengths: list[list[float]] | None = None) -> Truth:
    sizes = lengths or [[1.0, 2.0]] * len(labels)
    return Truth(np.array(labels), np.array(sizes), np.arange(len(labels)))


@given(LOGITS)
def test_swapping_every_pair_changes_no_number_but_the_null_first(logits: list[float]) -> None:
    labels = [float(k % 2) for k in range(len(logits))]
    x = np.array(logits)
    view = View(x, np.stack([x + 1, x - 1], axis=1))
    swapped = View(-x, np.stack([-x + 1, -x - 1], axis=1))
    one = breakdown("a", view, truth(labels), seed=0)
    other = breakdown(
        "a", swapped, truth([1 - y for y in labels], [[2.0, 1.0]] * len(labels)), seed=0
    )
    assert one.n + one.unscored == len(logits)
    for name in ("n", "unscored", "accuracy", "flip_rate", "ece", "nll"):
        left, right = getattr(one, name), getattr(other, name)
        assert left == right or left.value == pytest.approx(right.value), name


def test_nulls_count_a_tie_of_lengths_as_half() -> None:
    of = truth([1.0, 0.0, 1.0], [[3.0, 1.0], [3.0, 1.0], [2.0, 2.0]])
    right = {name: values.tolist() for name, values in null_correctness(of).items()}
    assert right == {
        "first": [1, 0, 1],
        "longest": [1, 0, 0.5],
        "shortest": [0, 1, 0.5],
        "random": [0.5, 0.5, 0.5],
    }


def test_flips_are_counted_by_winner_and_a_tie_is_half() -> None:
    orders = np.array([[2.0, 1.0], [2.0, -1.0], [0.0, 3.0], [0.0, 0.0], [np.nan, 1.0]])
    np.testing.assert_array_equal(flips(orders), [0, 1, 0.5, 0, np.nan])


def test_a_verdict_within_the_tie_margin_is_a_tie() -> None:
    assert sides(np.array([3.0, 0.1, 0.0, -3.0]), 0.05) == ["first", "tie", "tie", "second"]
    assert sides(np.array([0.1, 0.0]), 0.0) == ["first", "tie"]


def test_recorded_verdicts_of_gpt_4_give_the_published_accuracy(labelled_data: Path) -> None:
    recorded = read_recorded(labelled_data)
    votes = recorded.votes[recorded.judges.index("GPT-4/Vanilla")]
    pairs = {pair.item.id: pair for pair in read_labelled(labelled_data / "llmbar/pairs.jsonl")}
    of = Truth.of([pairs[name] for name in recorded.ids])
    np.testing.assert_array_equal(of.label_B, recorded.labels)
    view = View(vote_logits(votes), np.stack([vote_logits(votes[:, [k]]) for k in (0, 1)], axis=1))
    for part, percent in (("natural", 95.5), ("neighbor", 78.7)):
        kept = np.array([part in name for name in recorded.ids])
        row = breakdown(part, View(view.logit_B[kept], view.order_B2[kept]), of.only(kept), seed=0)
        assert row.accuracy is not None and row.flip_rate is not None
        assert round(100 * row.accuracy.value, 1) == percent
        assert row.flip_rate.value == pytest.approx(np.mean(votes[kept, 0] != votes[kept, 1]))
        assert row.above_best_null is not None
