"""A measure that has fallen is told, one that has not is not, however often one looks."""

import numpy as np
import pytest

from judges.calibration.decline import fall_from_earlier
from judges.errors import DataError

LOOKS, ITEMS = 8, 40


def cries(fall: float, seed: int) -> bool:
    """Whether any of the looks is told as fallen when the truth falls by so much at the fifth."""
    rng = np.random.default_rng(seed)
    truth = np.where(np.arange(LOOKS + 1) >= 5, -fall, 0.0)[:, None]
    values = rng.normal(size=ITEMS) + truth + 0.5 * rng.normal(size=(LOOKS + 1, ITEMS))
    found = [fall_from_earlier(values[: t + 1], LOOKS) for t in range(1, LOOKS + 1)]
    return any(one is not None and one.shown for one in found)


def test_looking_often_cries_wolf_no_oftener_than_the_level() -> None:
    runs = 60
    wrong = sum(cries(0.0, seed) for seed in range(runs))
    assert wrong <= 7  # 60 runs at 0.05: more than 7 in one of a hundred such tests


def test_a_real_fall_is_told() -> None:
    assert sum(cries(0.8, seed) for seed in range(10)) >= 9


def test_the_best_is_named_with_the_drop_from_it() -> None:
    values = np.array([[0.0] * 12, [1.0] * 12, [0.25] * 12])
    found = fall_from_earlier(values, 2)
    assert found is not None
    assert (found.best, found.drop.value, found.drop.n) == (1, 0.75, 12)
    assert found.p == pytest.approx(2**-12, rel=1)
    assert found.level == 0.025 and found.shown


def test_an_item_without_a_value_is_in_no_comparison() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(3, 20))
    holed = np.concatenate([whole, [[np.nan], [7.0], [np.nan]]], axis=1)
    first, second = fall_from_earlier(whole, 4), fall_from_earlier(holed, 4)
    assert first is not None and second is not None
    assert second.drop == first.drop or second.best == 1
    assert abs(first.p - second.p) < 0.02


@pytest.mark.parametrize("values", [np.zeros((1, 4)), np.full((3, 4), np.nan)])
def test_without_anything_to_compare_nothing_is_said(values: np.ndarray) -> None:
    assert fall_from_earlier(values, 3) is None


def test_no_change_at_all_is_no_fall() -> None:
    found = fall_from_earlier(np.ones((4, 6)), 3)
    assert found is not None and found.p == 1.0


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="level is 1"):
        fall_from_earlier(np.zeros((2, 3)), 1, level=1)


def test_a_fall_too_small_to_matter_is_not_told() -> None:
    rng = np.random.default_rng(3)
    values = np.stack([np.ones(40), np.full(40, 0.9)]) + 0.01 * rng.normal(size=(2, 40))
    without = fall_from_earlier(values, 5)
    within = fall_from_earlier(values, 5, more_than=0.2)
    assert without is not None and without.shown
    assert within is not None and not within.shown and within.drop == without.drop
