"""Intervals that hold their value, reach what they should, and know about groups."""

import numpy as np
import pytest

from judges.calibration.estimates import (
    group_numbers,
    mean_estimate,
    resampled_sums,
    share_estimate,
)
from judges.errors import DataError
from judges.intervals import wilson


def test_share_of_independent_items_is_wilson() -> None:
    found = share_estimate(np.array([1.0] * 7 + [0.0] * 3))
    assert (found.low, found.high) == wilson(7, 10)
    assert found.n == 10


def test_copies_of_a_prompt_add_no_certainty() -> None:
    alone = np.array([1.0, 0, 1, 1, 0, 1, 1, 1])
    copied = share_estimate(np.repeat(alone, 5), np.repeat(np.arange(8), 5))
    assert copied.n == 40
    assert copied.high - copied.low >= share_estimate(alone).high - share_estimate(alone).low


def test_all_alike_counts_groups_not_items() -> None:
    found = share_estimate(np.ones(40), np.repeat(np.arange(8), 5))
    assert (found.low, found.high) == wilson(8, 8)


def test_mean_interval_is_about_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = mean_estimate(values, seed=0)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.12)


def test_mean_interval_over_groups_is_wider_when_groups_are_alike() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 50), 8)
    alone = mean_estimate(values, seed=0)
    grouped = mean_estimate(values, np.repeat(np.arange(50), 8), seed=0)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_same_seed_same_interval_other_seed_another() -> None:
    values = np.random.default_rng(1).normal(0, 1, 50)
    assert mean_estimate(values, seed=3) == mean_estimate(values, seed=3)
    assert mean_estimate(values, seed=3) != mean_estimate(values, seed=4)


def test_resamples_draw_as_many_groups_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judges.calibration.estimates.DRAWN_AT_ONCE", 30)
    totals = resampled_sums(np.ones((12, 1)), np.arange(12), seed=0, resamples=7)
    assert totals.tolist() == [[12.0]] * 7


def test_groups_are_numbered_by_first_appearance() -> None:
    assert group_numbers(["b", "a", "b"], 3).tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="2 groups for 3 items"):
        group_numbers(["a", "b"], 3)


def test_nothing_scored_is_no_number() -> None:
    with pytest.raises(DataError, match="no scored items"):
        share_estimate(np.array([]))
    with pytest.raises(DataError, match="no scored items"):
        mean_estimate(np.array([]), seed=0)
