"""Intervals that know their clusters, and the guard against policies that win by ruin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.errors import VerdictError
from judges.records import CompletionText
from training.evaluation.statistics import COUNTS_AT_ONCE, distinct_n, mean_interval, sane


def names(count: int, each: int = 1) -> list[str]:
    return [str(index) for index in range(count) for _ in range(each)]


def test_mean_counts_ties_as_half_a_win() -> None:
    interval = mean_interval([1, 0.5, 0, 1], names(4), seed=0)
    assert interval.mean == pytest.approx(0.625)


def test_interval_of_independent_values_is_the_normal_one() -> None:
    values = [float(index % 2) for index in range(400)]
    interval = mean_interval(values, names(400), seed=0)
    half_width = 1.96 * np.sqrt(0.25 / 400)
    assert interval.low == pytest.approx(0.5 - half_width, abs=0.006)
    assert interval.high == pytest.approx(0.5 + half_width, abs=0.006)


def test_repeating_each_value_of_a_prompt_adds_no_certainty() -> None:
    once = mean_interval([1, 0, 1, 1, 0], names(5), seed=3)
    ten_times = mean_interval([v for v in (1, 0, 1, 1, 0) for _ in range(10)], names(5, 10), seed=3)
    assert ten_times == once


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    values = list(np.random.default_rng(5).random(30))
    first, again, other = (mean_interval(values, names(30), seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_many_clusters_are_resampled_in_parts() -> None:
    clusters = 3 * COUNTS_AT_ONCE // 20  # so that ten resamples do not fit at once
    interval = mean_interval([0.25, 0.75] * (clusters // 2), names(clusters), seed=1, resamples=20)
    assert 0.499 < interval.low < 0.5 < interval.high < 0.501


def test_no_value_is_an_error_not_a_default() -> None:
    with pytest.raises(VerdictError, match="nothing was scored"):
        mean_interval([], [], seed=0)


def test_values_without_a_cluster_name_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values but 1 cluster"):
        mean_interval([1, 0], ["a"], seed=0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([0.0, 0.5, 1.0])), min_size=1))
def test_swapping_the_sides_mirrors_the_interval(pairs: list[tuple[str, float]]) -> None:
    clusters = [name for name, _ in pairs]
    ours = mean_interval([v for _, v in pairs], clusters, seed=0, resamples=200)
    theirs = mean_interval([1 - v for _, v in pairs], clusters, seed=0, resamples=200)
    assert 0 <= ours.low <= ours.high <= 1
    assert theirs.mean == pytest.approx(1 - ours.mean)
    assert theirs.low == pytest.approx(1 - ours.high)
    assert theirs.high == pytest.approx(1 - ours.low)


@pytest.mark.parametrize(
    ("texts", "n", "expected"),
    [
        pytest.param(["a b c d"], 2, 1.0, id="nothing repeated"),
        pytest.param(["a a a a"], 1, 0.25, id="one word four times"),
        pytest.param(["the cat", "The cat!"], 2, 0.5, id="the same pair in two texts"),
        pytest.param(["word"], 2, 0.0, id="too short for a pair"),
        pytest.param([], 2, 0.0, id="no text"),
    ],
)
def test_distinct_n(texts: list[str], n: int, expected: float) -> None:
    assert distinct_n(texts, n) == expected


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        pytest.param("Cats sleep most of the day.", "stop", True, id="a finished sentence"),
        pytest.param("Do cats sleep all day?", None, True, id="finish reason not known"),
        pytest.param("She said “cats sleep all day.”", "stop", True, id="ends in a quote"),
        pytest.param("Cats sleep most of the day.", "length", False, id="cut off"),
        pytest.param("Cats sleep most of the day", "stop", False, id="no full stop"),
        pytest.param("Cats sleep all day.", "stop", False, id="four words"),
        pytest.param("", "stop", False, id="empty"),
        pytest.param("It is very very very good here.", "stop", True, id="thrice for stress"),
        pytest.param("It is very very very very good.", "stop", False, id="a word four times"),
        pytest.param("I am, I am, I am here.", "stop", False, id="a phrase three times"),
        pytest.param("I am, I am here, you see.", "stop", True, id="a phrase twice"),
        pytest.param("Rain or snow, rain or hail, we walk.", "stop", True, id="a refrain"),
        pytest.param("One. Two three four five. " * 3, "stop", False, id="sentences in a loop"),
    ],
)
def test_sane(text: str, finish_reason: str | None, expected: bool) -> None:
    assert sane(CompletionText(text=text, finish_reason=finish_reason)) is expected
